"""Peak memory of calibrating on 100 and on 10,000 frames.

`python tests/quantize/calibration_memory.py` writes the samples, checks them, and
collects the ranges of a small net, each count in a process of its own, and prints their peak
resident sizes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

COUNTS = (100, 10_000)
SIZE, CHANNELS = 48, 8


def build(path: Path) -> None:
    """Write two 3x3 convolutions with a ReLU between them."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in (("w0", (CHANNELS, 3, 3, 3)), ("w1", (3, CHANNELS, 3, 3)))
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["c0"], "c0", pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"], "r0"),
        helper.make_node("Conv", ["r0", "w1"], ["result"], "c1", pads=[1] * 4),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, SIZE, SIZE])
        for name in ("image", "result")
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))


def calibrate(count: int) -> None:
    """Do the work and print this process's peak resident size in KiB."""
    from edgeanim.core.artifact import GraphArtifact
    from edgeanim.core.contract import GraphSpec, TensorSpec
    from edgeanim.quantize.calibration.samples import DiskSamples, SampleWriter, check_samples
    from edgeanim.quantize.ranges.histograms_onnx import collect_histograms

    shape, unit = (1, 3, SIZE, SIZE), (0.0, 1.0)
    image = TensorSpec("image", "driving_frame", shape, "NCHW", range=unit)
    result = TensorSpec("result", "frame", shape, "NCHW")
    spec = GraphSpec("net", "net.onnx", "frame", (image,), (result,))
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        build(folder / "net.onnx")
        with SampleWriter(folder / "samples", spec) as writer:
            for _ in range(count):
                writer.add({"image": rng.random(shape, np.float32)})
        samples = DiskSamples(folder / "samples")
        check_samples(samples, spec)
        collect_histograms(GraphArtifact(spec, folder / "net.onnx"), samples)
    status = Path("/proc/self/status").read_text().splitlines()
    print(next(line for line in status if line.startswith("VmHWM")).split()[1])


def main() -> None:
    """Measure every count and print the ratio."""
    peaks = {}
    for count in COUNTS:
        done = subprocess.run(
            [sys.executable, __file__, str(count)], capture_output=True, text=True, check=True
        )
        peaks[count] = int(done.stdout.split()[-1])
        print(f"{count:>6} frames: peak {peaks[count] / 1024:.1f} MiB")
    few, many = (peaks[count] for count in COUNTS)
    print(f"ratio {many / few:.3f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        calibrate(int(sys.argv[1]))
    else:
        main()
