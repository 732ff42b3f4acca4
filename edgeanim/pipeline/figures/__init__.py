"""Programs that print the figures of `docs/results.md`; no command needs them."""
