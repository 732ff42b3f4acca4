"""Training data: procedural puppets, real clips, and how both are augmented."""
