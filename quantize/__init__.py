"""Compression: structured pruning and INT8 quantisation, pure functions on artifacts."""
