"""The reference animator: networks, data, training, shipped weights."""
