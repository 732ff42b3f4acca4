"""What the player itself costs, beside the networks: run it as a script, on an idle machine.

    python tests/runtime/stage_times.py

Prints the median and the 90th percentile of 100 runs, in ms, one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from edgeanim.core.contract import TensorSpec
from edgeanim.core.skeleton import Bone, Joints, Skeleton
from edgeanim.runtime.execution import Shown
from edgeanim.runtime.pictures import Fit, from_tensor, to_tensor
from edgeanim.runtime.transfer import BodyMotion, RelativeMotion
from edgeanim.runtime.warp import Compositor

_RUNS = 100


def _measure(name: str, work: Callable[[], object]) -> None:
    for _ in range(10):
        work()
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    print(f"{name:42} {np.median(times):7.3f} {np.percentile(times, 90):7.3f}")


def _seen(frame: Shown, spec: TensorSpec) -> None:
    frame.tensor(spec)
    frame.cue(spec, (0.0, 1.0))


def _chain(count: int) -> Joints:
    names = [str(i) for i in range(count)]
    bones = (Bone(), *(Bone(parent, -1.7) for parent in names[:-1]))
    return Skeleton(bones).named(names)


def main() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)

    def smooth(size: tuple[int, int], channels: int = 3) -> np.ndarray:
        coarse = rng.integers(0, 256, (12, 12, channels), dtype=np.uint8)
        return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)

    spec = TensorSpec("x", "still", (1, 3, 256, 256), "NCHW", range=(0.0, 1.0))
    print(f"{'stage':42} {'p50 ms':>7} {'p90 ms':>7}")
    for rows, columns in ((480, 640), (720, 1280)):
        frame = smooth((rows, columns))
        fit = Fit.of((rows, columns), (256, 256))
        _measure(
            f"fit {columns}x{rows} to 256x256", lambda f=fit, p=frame: f.to_graph(p, (256, 256))
        )
    small = smooth((256, 256))
    _measure("picture to tensor, NCHW 256x256", lambda: to_tensor(small, spec))
    before = Shown(small)
    before.tensor(spec)  # the frame before has been seen
    _measure("frame and cue to tensors", lambda: _seen(Shown(small, before), spec))
    tensor = to_tensor(small, spec)
    _measure("tensor to picture, NCHW 256x256", lambda: from_tensor(tensor, spec))
    still, first, now = rng.normal(0, 0.5, (3, 10, 6)).astype(np.float32)
    displaced, jointed = RelativeMotion(still, first), BodyMotion(still, first, _chain(10))
    _measure("motion of 10 regions by displacements", lambda: displaced(now))
    _measure("motion of 10 regions along a skeleton", lambda: jointed(now))
    flow = cv2.resize(rng.normal(0, 0.05, (8, 8, 2)).astype(np.float32), (64, 64))
    alpha = rng.uniform(0, 1, (64, 64)).astype(np.float32)
    colour = smooth((64, 64))
    for size in (256, 512, 1024):
        for channels in (3, 4):
            compositor = Compositor(smooth((size, size), channels))
            named = f"{size}x{size} {'RGB' if channels == 3 else 'RGBA'}"
            _measure(f"warp, {named}", lambda c=compositor: c.warp(flow))
            _measure(
                f"warp and blend, {named}", lambda c=compositor: c.compose(flow, alpha, colour)
            )


if __name__ == "__main__":
    main()
