"""OpenVINO's own form of a graph: a pair of files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from edgeanim.core.errors import disk_errors
from edgeanim.core.quiet import quiet
from edgeanim.targets.checks import runtime_errors


def save_ir(model: Any, xml: Path) -> None:
    """Write an `openvino.Model` to `xml` and the `.bin` beside it, the main one last.

    They appear when both are complete: no half a pair is ever seen.
    """
    import openvino

    with disk_errors(xml):
        xml.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=xml.parent))
        try:
            with runtime_errors("OpenVINO cannot write this graph", xml), quiet():
                # Its default compresses weights to fp16: a float32 graph would differ by 1e-3.
                openvino.save_model(model, str(partial / xml.name), compress_to_fp16=False)
            for suffix in (".bin", ".xml"):
                (partial / xml.name).with_suffix(suffix).replace(xml.with_suffix(suffix))
        finally:
            shutil.rmtree(partial, ignore_errors=True)
