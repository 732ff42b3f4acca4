"""Training for INT8: an imported float graph learns to give its own outputs through 8-bit grids."""
