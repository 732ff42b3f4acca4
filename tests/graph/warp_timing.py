"""What lowering a warp buys. Prints; run it with `python tests/graph/warp_timing.py`.

Milliseconds of processor time, one thread, median of 30 runs, a 3 x 256 x 256 and a 64 x 64 x 64
warp: ONNX Runtime's GridSample and the lowered form, TFLite's own decomposition and the lowered
form.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from edgeanim.core import offline
from edgeanim.core.quiet import quiet
from edgeanim.graph.pytorch.to_torch import import_torch
from edgeanim.graph.rewrites import warp


def milliseconds(run: Callable[[], Any]) -> float:
    """The median processor time of `run` after five warm-up calls."""
    times = []
    for i in range(35):
        start = time.process_time()
        run()
        if i >= 5:
            times.append(time.process_time() - start)
    return statistics.median(times) * 1e3


def in_onnxruntime(model: Any, inputs: dict[str, Any]) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return milliseconds(lambda: session.run(None, inputs))


def in_tflite(module: Any, inputs: dict[str, Any], folder: Path) -> float:
    with quiet():
        import litert_torch
        from ai_edge_litert.interpreter import Interpreter

        example = tuple(torch.from_numpy(value) for value in inputs.values())
        litert_torch.convert(module.eval(), example).export(str(folder / "warp.tflite"))
        interpreter = Interpreter(str(folder / "warp.tflite"), num_threads=1)
        interpreter.allocate_tensors()
    for details, value in zip(interpreter.get_input_details(), example, strict=True):
        interpreter.set_tensor(details["index"], value.numpy())
    return milliseconds(interpreter.invoke)


class GridSample(torch.nn.Module):
    """The op as PyTorch has it, which the TFLite converter decomposes."""

    def forward(self, x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def main() -> None:
    offline.apply()
    rng = np.random.default_rng(0)
    for channels, side in ((3, 256), (64, 64)):
        shape = f"float[1,{channels},{side},{side}]"
        model = onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["": 18]> g ({shape} x, float[1,{side},{side},2] grid) '
            f'=> ({shape} y) {{ y = GridSample <padding_mode="border"> (x, grid) }}'
        )
        lowered = onnx.ModelProto()
        lowered.CopyFrom(model)
        warp.rewrite(lowered)
        y, x = np.mgrid[0:side, 0:side] * (2 / side) - 1
        grid = np.stack([x, y], -1)[None] + rng.normal(0, 0.02, (1, side, side, 2))
        inputs = {
            "x": rng.uniform(0, 1, (1, channels, side, side)).astype(np.float32),
            "grid": grid.astype(np.float32),
        }
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            onnx.save(model, str(folder / "warp.onnx"))
            module = import_torch(folder / "warp.onnx").module
            print(
                f"{channels}x{side}x{side}: ONNX Runtime {in_onnxruntime(model, inputs):.1f} -> "
                f"{in_onnxruntime(lowered, inputs):.1f} ms, TFLite "
                f"{in_tflite(GridSample(), inputs, folder):.1f} -> "
                f"{in_tflite(module, inputs, folder):.1f} ms"
            )


if __name__ == "__main__":
    main()
