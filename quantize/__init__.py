"""Compression: structured pruning and INT8 quantisation, pure functions on artifacts.

What is quantised goes through these, in order:

- `calibration`: `coverage` chooses the frames to calibrate on, `samples` streams what the graphs
  are given for them to disk, and `checks` finds bad ones before any work.
- `ranges`: `histograms_onnx` collects what the tensors of the float graph hold (`histogram`), and
  `methods` cut each one's range out of that, at the least cost by `errors`.
- `chain` says which nodes run in INT8 (`onnx_nodes` tells it those of an ONNX graph), `mixed` which
  convolutions had better stay in float, and `rounding` rounds the kernels.
- `schemes` write the INT8 file, one form per file of that folder; what a single runtime asks for is
  in `runtimes`.

`pruning` takes channels out beforehand; `distillation` trains the float graph for INT8.
"""
