"""Training for INT8: an imported float graph learns to give its own outputs through 8-bit grids.

`distil` is the whole of it: `placement` says where the scheme will round, `equalise` scales
channels so that one range serves a tensor, `fake_quant` rounds with gradients, and `bias` corrects
the shift that this causes. Then `train` trains against `loss`, with its `state` kept on disk.
"""
