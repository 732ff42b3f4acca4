"""Where models run: backends that compile and execute, boards, and the bundle that travels."""
