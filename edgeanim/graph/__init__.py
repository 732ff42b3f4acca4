"""ONNX in and out: load and check, normalise, rewrite, to and from PyTorch."""
