"""How far projection is off, where that can be known.

`python -m edgeanim.benchmarks.figures.projection_check` measures MobileNetV1 here (ONNX Runtime,
float32 and INT8) and prints

- what is projected on a Raspberry Pi 4 against what was published for it, and the factor that
  `projection.CALIBRATION` takes from that;
- what is projected on this machine at two threads and in INT8, from one thread in float32, against
  what is measured here.

Needs onnx and onnxruntime. The weights are random: only the time is of interest.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeanim.benchmarks.projection import Part, in_int8, is_arithmetic, scaled_ms
from edgeanim.benchmarks.roofline import Roof, measure_roof, roof_of
from edgeanim.core.artifact import FLOAT32, CompiledGraph
from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.quiet import quiet
from edgeanim.core.scratch import scratch_folder
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board, load_shipped_board

SIZE, CLASSES = 224, 1000
# Howard et al. 2017, table 1: output channels and stride of each depthwise-separable block.
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    *((512, 1),) * 5, (1024, 2), (1024, 1),
)  # fmt: skip
_RUNS, _PROFILED = 30, 10
_BACKEND = "onnxruntime"


@dataclass(frozen=True)
class Published:
    """A figure that others measured: MobileNetV1 at 224x224 on `board` with so many threads."""

    board: str
    threads: int
    precision: str
    ms: float


PUBLISHED = (
    Published("raspberry-pi-4", 4, "float32", 77.0),
    Published("raspberry-pi-4", 4, "int8", 24.0),
)


class _Net:
    """An ONNX graph that grows node by node, with random weights; `macs` are its
    multiply-accumulates."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.macs = 0
        self._rng = np.random.default_rng(0)

    def node(self, op: str, inputs: Sequence[str], out: str, name: str, **attributes: Any) -> str:
        """Add an op; the name of its output."""
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [out], name, **attributes))
        return out

    def weight(self, name: str, values: NDArray[np.float32]) -> str:
        """Add weights; their name."""
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def random(self, deviation: float, *shape: int) -> NDArray[np.float32]:
        """Weights of this standard deviation."""
        return self._rng.normal(0, deviation, shape).astype(np.float32)

    def conv(self, source: str, wide: int, out: int, kernel: int, stride: int, size: int) -> str:
        """Add a convolution to pictures of that `size` with a ReLU behind it; the ReLU's output."""
        index, depthwise = len(self.nodes), wide == 1
        values = self.random((2 / (wide * kernel**2)) ** 0.5, out, wide, kernel, kernel)
        inputs = [
            source,
            self.weight(f"w{index}", values),
            self.weight(f"b{index}", np.zeros(out, np.float32)),
        ]
        made = self.node(
            "Conv", inputs, f"c{index}", f"conv{index}",
            strides=[stride] * 2, pads=[kernel // 2] * 4, group=out if depthwise else 1,
        )  # fmt: skip
        self.macs += values.size * size**2
        return self.node("Relu", [made], f"r{index}", f"relu{index}")

    def dense(self, source: str, wide: int, out: int, made: str, name: str) -> str:
        """Add a product with a matrix, whose output is called `made`."""
        weights = self.weight("dense", self.random(0.03, wide, out))
        self.macs += wide * out
        return self.node("MatMul", [source, weights], made, name)


def mobilenet(path: Path) -> int:
    """Write MobileNetV1 with random weights to `path`; its multiply-accumulates."""
    import onnx
    from onnx import TensorProto, helper

    net = _Net()
    size, channels = SIZE // 2, 32
    last = net.conv("image", 3, channels, 3, 2, size)
    for out, stride in BLOCKS:
        size //= stride
        last = net.conv(last, 1, channels, 3, stride, size)
        last, channels = net.conv(last, channels, out, 1, 1, size), out
    pooled = net.node("GlobalAveragePool", [last], "pooled", "pool")
    flat = net.node("Flatten", [pooled], "flat", "flatten")
    net.dense(flat, channels, CLASSES, "scores", "classes")
    ends = (("image", [1, 3, SIZE, SIZE]), ("scores", [1, CLASSES]))
    first, final = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ends)
    graph = helper.make_graph(net.nodes, "mobilenet", [first], [final], net.weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return net.macs


def quantized(source: Path, target: Path, *, saturates: bool) -> None:
    """INT8 as edgeanim makes it for ONNX Runtime: 8-bit activations, weights per channel."""
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            rng = np.random.default_rng(1)
            self.left = [rng.random((1, 3, SIZE, SIZE), dtype=np.float32) for _ in range(2)]

        def get_next(self) -> dict[str, Any] | None:
            return {"image": self.left.pop()} if self.left else None

    with quiet():
        q.quantize_static(
            str(source), str(target), Reader(), quant_format=q.QuantFormat.QDQ, per_channel=True,
            activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8,
            reduce_range=saturates,
        )  # fmt: skip


def measure(path: Path, scheme: str, threads: int) -> tuple[Part, ...]:
    """The parts of a run here: the least of many runs, shared out as the profile says."""
    spec = GraphSpec(
        "net", path.name, "frame",
        (TensorSpec("image", "driving_frame", (1, 3, SIZE, SIZE), "NCHW"),),
        (TensorSpec("scores", "feature:scores", (1, CLASSES)),),
    )  # fmt: skip
    precision = "float32" if scheme == FLOAT32 else "int8"
    graph = CompiledGraph(_BACKEND, precision, scheme, spec, (path,), {})  # type: ignore[arg-type]
    backend = get_backend(_BACKEND)
    feed = {"image": np.full((1, 3, SIZE, SIZE), 0.5, np.float32)}
    # One thread in processor time: what others take of the machine is not counted.
    clock = time.process_time if threads == 1 else time.perf_counter
    times = []
    session = backend.load(graph, SessionOptions(threads))
    for _ in range(_RUNS):
        began = clock()
        session.run(feed)
        times.append(1e3 * (clock() - began))
    session.close()
    profiled = backend.load(graph, SessionOptions(threads, profile=True))
    for _ in range(_PROFILED):
        profiled.run(feed)
    profile = backend.executed_precision(profiled)
    profiled.close()
    return tuple(
        Part("net", row.op, row.precision, is_arithmetic(row.op, row.kind), min(times) * row.share)
        for row in profile.ops
    )


def check() -> str:
    """Everything measured and compared, as text."""
    saturates = load_board("local").saturates_u8s8
    one = measure_roof(saturates=saturates)
    cores = len(os.sched_getaffinity(0))
    with scratch_folder("projection") as scratch:
        floating, integer = scratch / "float.onnx", scratch / "int8.onnx"
        macs = mobilenet(floating)
        quantized(floating, integer, saturates=saturates)
        files = {"float32": (floating, FLOAT32), "int8": (integer, "onnx-qdq")}
        counts = (1, 2) if cores > 1 else (1,)
        runs = {(p, n): measure(*files[p], n) for p in files for n in counts}
    head = (
        f"MobileNetV1 {SIZE}x{SIZE}, {macs / 1e6:.0f} M multiply-accumulates, ONNX Runtime. "
        f"One core here: {one.gflops_fp32:.0f} GFLOP/s float32, {one.gops_int8:.0f} GOP/s INT8, "
        f"{one.memory_gb_s:.1f} GB/s."
    )
    return "\n\n".join((head, _against_published(runs, one), _against_here(runs, one))) + "\n"


Runs = Mapping[tuple[str, int], tuple[Part, ...]]


def _against_published(runs: Runs, one: Roof) -> str:
    lines, ratios = ["published elsewhere     projected  published  published/projected"], []
    for known in PUBLISHED:
        there = roof_of(load_shipped_board(known.board), known.threads)
        ms = sum(scaled_ms(runs[known.precision, 1], one, there).values())
        ratios.append(known.ms / ms)
        name = f"{known.board} {known.precision}"
        lines.append(f"{name:<23}{ms:8.1f} ms{known.ms:8.1f} ms  {ratios[-1]:8.2f}x")
    factor = math.prod(ratios) ** (1 / len(ratios))
    lines.append(f"calibration (geometric mean): {factor:.2f}")
    return "\n".join(lines)


def _against_here(runs: Runs, one: Roof) -> str:
    """Uncalibrated: on the same machine there is nothing to calibrate for."""
    lines = ["this machine            projected   measured   measured/projected"]
    base = runs["float32", 1]
    for precision, threads in runs:
        if (precision, threads) == ("float32", 1):
            continue
        parts = in_int8(base, one) if precision == "int8" else base
        ms = sum(scaled_ms(parts, one, one.with_threads(threads)).values())
        took = sum(part.ms for part in runs[precision, threads])
        name = f"{precision}, {threads} thread{'s' if threads > 1 else ''}"
        lines.append(f"{name:<23}{ms:8.1f} ms{took:8.1f} ms  {took / ms:8.2f}x")
    return "\n".join(lines)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    print(check(), end="")
