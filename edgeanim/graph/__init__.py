"""ONNX in and out: load and check, normalise, rewrite, to and from PyTorch.

A file becomes a graph that the rest can rely on in steps:

- `reading` takes files of anyone's: `protobuf` and `read` parse one and check what it claims to be,
  `checks` what its frames mean. `adopt` brings it into one form (`byte_pictures`, `channel_order`),
  and `infer` finds out what its tensors mean (`roles`, `picture_ranges`).
- `load` gives the graphs and the contract of a model, `inspect` tells what they are.
- `normalize` writes it in the one form that rewrites, quantisers and converters expect, and
  `restructure` in one that runs faster. Both are lists of `rewrites`.
- In `pytorch`, `to_torch` makes a module of it (`converters`), and `write_back` brings the trained
  or pruned weights of that module home. `from_torch` and `program` go the other way,
  `module_weights` fills modules from files.

`queries` and `edit` are the vocabulary of all of them; `reference` is what the gates compare with.
"""
