"""Training: stages, losses, checkpoints. Everything in this package but the config needs torch."""
