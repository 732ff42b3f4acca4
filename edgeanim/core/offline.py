"""Offline means offline: the telemetry of every package we use is switched off before it loads."""

from __future__ import annotations

import os
import sys

# ONNX Runtime >= 1.29 reads the first on Linux; the hub client that litert-torch pulls in reads
# the rest. Not that it is to be offline: a program that uses us may fetch models of its own.
_SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def apply() -> None:
    """Set the switches for this process and its children."""
    os.environ.update(_SWITCHES)
    # OpenVINO and NNCF send through this package and have no switch for it, but both do without
    # when it cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
