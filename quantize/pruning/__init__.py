"""Structured pruning: which channels go together, which are spared, and what makes up for them."""
