"""Rewrites of ONNX graphs, one per file: `rewrite(model) -> int`, the number of places changed.

Each edits the model in place and keeps its inputs, outputs and numbers; when it pays is said in its
file. Who applies which, and in what order:

- `graph.normalize`: those that lead to the normal form.
- `graph.restructure`: those by which the same function runs faster, on any runtime.
- `targets.lowering`: those that one runtime needs before it can execute a graph well.
- `quantize.schemes`: those that one form of INT8 needs.
- `graph.pytorch.to_torch`: those without which PyTorch cannot hold a graph.
"""
