"""Programs that print figures of `docs/results.md` about the harness and the runtimes; no command
needs them."""
