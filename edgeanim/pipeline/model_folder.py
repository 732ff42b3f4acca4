"""The model folder that `prune` and `quantize` write: what is in it, and what it may replace."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgeanim.core.contract import CONTRACT_FILE, Contract, load_contract
from edgeanim.core.errors import BadInput
from edgeanim.core.files import atomic_folder, may_become_folder
from edgeanim.graph.load import save_model
from edgeanim.pipeline.calibrate import GOLDEN_FILE
from edgeanim.pipeline.variants import INT8_FOLDER

PLANS = "pruning"
RECORD_FILE = "quantization.json"


def may_become_model(out: Path) -> None:
    """`UsageError` if `out` holds anything that does not belong to a model folder: writing one
    there would destroy it."""
    out = _led_to(out)
    files = _files_of_model(out)
    folders = (INT8_FOLDER, PLANS) if files else ()
    may_become_folder(out, lambda name: name in files or name.split("/")[0] in folders)


@contextmanager
def new_model_folder(
    out: Path, contract: Contract, graphs: Mapping[str, Path], golden: Path
) -> Iterator[Path]:
    """Yield a model folder with `graphs` (files by name) and `golden` frames, to be added to. It
    takes the place of `out` if the block succeeds, or of what that links to; see
    `may_become_model`."""
    may_become_model(out)
    with atomic_folder(_led_to(out)) as partial:
        save_model(contract, graphs, partial)
        shutil.copyfile(golden, partial / GOLDEN_FILE)
        yield partial


def _led_to(out: Path) -> Path:
    """Where a link leads, be it to nothing yet: a model is written there, and the link stays."""
    return Path(os.path.realpath(out)) if out.is_symlink() else out


def _files_of_model(folder: Path) -> frozenset[str]:
    """The files of the model in `folder`; none if no model is there."""
    try:
        graphs = load_contract(folder).graphs
    except BadInput:
        return frozenset()
    return frozenset((CONTRACT_FILE, GOLDEN_FILE, RECORD_FILE, *(spec.file for spec in graphs)))
