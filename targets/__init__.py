"""Where models run: backends that compile and execute, boards, and the bundle that travels.

- `backends`: one file per runtime. What a runtime needs of a graph is in `lowering`, what else it
  needs in modules named after it (`litert`, `tflite_graph`, `openvino_ir`, `ort_trace`).
- `bundle`: the `.eab` file, with its `manifest`, `seal` and `signing`; `unpack` checks one as if
  its writer were hostile.
- `board` and `machine`: what a machine is. `doctor` says whether it is fit (`fitness`,
  `permissions`) and whether every backend runs on it (`smoke`).
- `prebuilt`: files that others compiled, with their `io_numbers`.
- `on`: other machines, and emulated ones.
"""
