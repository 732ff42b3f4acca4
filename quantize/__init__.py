"""Compression: structured pruning and INT8 quantisation, pure functions on artifacts.

What is quantised goes through these, in order:

- `coverage` chooses the frames to calibrate on, `calibration` streams what the graphs are given for
  them to disk, and `checks` finds bad ones before any work.
- `histograms_onnx` collects what the tensors of the float graph hold (`histogram`), and `ranges`
  cuts each one's range out of that, at the least cost by `range_errors`.
- `chain` says which nodes run in INT8 (`onnx_nodes` tells it those of an ONNX graph), `sensitivity`
  and `islands` which convolutions had better stay in float, and `rounding` rounds the kernels.
- `schemes` write the INT8 file, one form per file of that folder.

`pruning` takes channels out beforehand; `distillation` trains the float graph for INT8.
"""
