"""The player: plays a model on a still, offline, without torch or onnx."""
