"""What pip has to install, as in pyproject.toml: known also where edgeanim was never installed but
pushed, or run from a checkout. There pip finds no `edgeanim`, whose extras it could be asked for.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping

BASE = (
    "click>=8.1",
    "numpy>=1.24",
    "opencv-python-headless>=4.10",
    "pillow>=10",
    "psutil>=5.9",
    "tomli>=2; python_version < '3.11'",
    "tomli-w>=1",
)
# The module that proves each of these, whichever way it was installed.
MODULES = {
    "click": "click",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "psutil": "psutil",
    "tomli-w": "tomli_w",
}
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime>=1.20,!=1.21.0",),
    "openvino": ("openvino>=2025.0",),
    "tflite": ("ai-edge-litert>=2.0",),
    "tflite-runtime": ("tflite-runtime>=2.14; python_version < '3.12'", "numpy<2"),
    "compress": (
        "torch>=2.8,<2.14",
        "onnx>=1.18",
        "onnxruntime>=1.20,!=1.21.0",
        "onnxscript>=0.5",
        "openvino>=2025.0",
        "nncf>=3.0",
        "litert-torch>=0.9",
        "ai-edge-litert>=2.0",
        "ai-edge-quantizer>=0.6",
        "safetensors>=0.4",
        "threadpoolctl>=3.1",
        "typing-extensions<4.13",
    ),
    "train": ("torch>=2.8,<2.14", "safetensors>=0.4", "threadpoolctl>=3.1", "pyyaml>=6"),
    "report": ("matplotlib>=3.8",),
    "sign": ("cryptography>=42",),
}


def install_line(extra: str) -> str:
    """The command that installs what `extra` brings to the Python that runs this."""
    if extra in EXTRAS and not _is_installed("edgeanim"):
        return _pip_install(quoted(EXTRAS[extra]))
    ours = f"'edgeanim[{extra}]'"
    return f"pip install {ours}" if _pip_is_meant() else _pip_install(ours)


def base_install_line(module: str) -> str:
    """The command that installs what has `module`; all that edgeanim always needs if nothing of
    that does."""
    found = [line for line in BASE if MODULES.get(re.split(r"[<>=;]", line)[0]) == module]
    return _pip_install(quoted(tuple(found) or BASE))


def _pip_install(what: str) -> str:
    return f"{shlex.quote(sys.executable)} -m pip install {what}"


def _pip_is_meant() -> bool:
    """Whether `pip` alone stands for this Python's. Where its environment is not activated, another
    Python's would be asked, which knows no edgeanim. Who has none (`uv`) knows what to put for it.
    """
    import shutil

    return not _is_installed("pip") or shutil.which("pip") == f"{sys.prefix}/bin/pip"


def quoted(requirements: tuple[str, ...]) -> str:
    """Requirements without their markers, as words of a shell."""
    return " ".join(f"'{line.partition(';')[0]}'" for line in requirements)


def _is_installed(distribution: str) -> bool:
    import importlib.metadata  # 30 ms, which no command should take to start

    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
