"""Drift: how far a variant's frames are from the float32 original's, whole and by region."""
