"""Lets the tests of this folder share `runtime_stubs`: importlib mode adds no folder by itself."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
