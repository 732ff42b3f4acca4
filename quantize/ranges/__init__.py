"""Ranges of activations: what tensors hold, and what is cut out of that."""
