"""What `prune` says of a net beside its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.called import edgeanim
from tests.onnx_text import parsed

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")


@pytest.mark.parametrize("shared", [True, False])
def test_weights_that_are_no_longer_shared_are_told_of(
    shared: bool, photos: Path, tmp_path: Path
) -> None:
    """There are more of them afterwards, which nobody expects of pruning."""
    names = "www" if shared else "wvu"
    steps = "".join(
        f"c{i} = Conv <pads = [1,1,1,1]> (r{i}, {name})\n r{i + 1} = Relu (c{i})\n"
        for i, name in enumerate(names)
    )
    model = parsed(
        f"""g (float[1,3,64,64] image) => (float[1,3,64,64] result) {{
            a = Conv <pads = [1,1,1,1]> (image, first)
            r0 = Relu (a)
            {steps}
            result = Conv <pads = [1,1,1,1]> (r3, last)
        }}""",
        {"first": (8, 3, 3, 3), "last": (3, 8, 3, 3)} | dict.fromkeys(names, (8, 8, 3, 3)),
    )
    path = tmp_path / "net.onnx"
    onnx.save(model, str(path))
    done = edgeanim(
        "prune", path, "--calib", photos, "--ratio", 0.3, "--round-to", 1, "--steps", 0,
        "-o", tmp_path / "pruned",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ("shared their weights" in done.stdout) == shared
