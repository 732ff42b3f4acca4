"""Importing what a backend runs on."""

import importlib

import pytest

from edgeanim.core.errors import MissingComponent
from edgeanim.targets.checks import require


def test_ctrl_c_while_a_native_module_starts_is_no_missing_package(monkeypatch):
    def start(name):  # noqa: ARG001
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr(importlib, "import_module", start)
    with pytest.raises(KeyboardInterrupt):
        require("openvino", "openvino", "openvino")


def test_what_is_not_there_is_named_with_the_line_that_installs_it():
    with pytest.raises(MissingComponent, match="no_such_runtime"):
        require("no_such_runtime", "openvino", "openvino")
