"""The smoke test: a tiny graph, compiled beforehand for every backend, run and compared.

`smoke.eab` travels with the package, so the test needs no compiler: `tests.targets.make_smoke`
builds it. Run as a module (`python -m edgeanim.targets.smoke BACKEND`) it prints JSON: what the
backend says of itself, and its errors. That way a runtime that dies of an illegal instruction, even
while it is imported, takes no caller along.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from importlib import resources
from math import prod

import numpy as np

from edgeanim.core.artifact import Array, relayout
from edgeanim.core.contract import TensorSpec
from edgeanim.core.errors import EdgeanimError
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.bundle import open_bundle
from edgeanim.targets.manifest import Variant

BUNDLE = "smoke.eab"
# Far above rounding, far below what a wrong kernel does to values in 0..1.
TOLERANCE = {"float32": 1e-3, "int8": 0.1}


def run_smoke(backend: str) -> dict[str, float]:
    """The largest error of each precision of `backend` against the float32 original.

    Empty if no graph was prepared for it (a backend of someone else's).
    """
    with (
        resources.as_file(resources.files(__package__).joinpath(BUNDLE)) as path,
        open_bundle(path, trusted=False) as bundle,
    ):
        expected = np.asarray(bundle.provenance["expected"], np.float32)
        return {
            variant.precision: _error(variant, expected)
            for variant in bundle.variants
            if variant.backend == backend
        }


def ramp(tensor: TensorSpec) -> Array:
    """The smoke test's input: a ramp from 0 to 1 in channels-first order, in `tensor`'s layout."""
    first = tensor.in_layout("NCHW")
    values = np.linspace(0, 1, prod(first.shape), dtype=np.float32).reshape(first.shape)
    return relayout(values, first.layout, tensor.layout)


def _error(variant: Variant, expected: Array) -> float:
    (graph,) = variant.graphs
    (tensor,) = graph.spec.outputs
    with closing(get_backend(variant.backend).load(graph, SessionOptions())) as session:
        result = session.run({t.name: ramp(t) for t in graph.spec.inputs})[tensor.name]
    found = relayout(result, tensor.layout, "NCHW")
    return float(np.abs(found.ravel() - expected).max())


def _main(name: str) -> int:
    try:
        backend = get_backend(name)
        found = backend.available()
        answer: dict[str, object] = {
            "version": found.version,
            "reason": found.reason,
            "note": found.note,
            "extra": backend.extra,
            "errors": run_smoke(name) if found else {},
        }
        status = 0
    except EdgeanimError as error:
        answer, status = {"refused": str(error)}, error.exit_code
    print(json.dumps(answer))
    return status


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1]))
