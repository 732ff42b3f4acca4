"""Rewrites of ONNX graphs, one per file: `rewrite(model) -> int`, the number of places changed.

Each edits the model in place and keeps its inputs, outputs and numbers.
"""
