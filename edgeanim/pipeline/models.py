"""The model that a command is given: a folder, an .onnx, or `shipped`, our own animator."""

from __future__ import annotations

from pathlib import Path

from edgeanim.graph.load import Model, load_model
from edgeanim.pipeline.material import Material
from edgeanim.pipeline.work import Work, versions

SHIPPED = "shipped"


def open_model(name: str | Path, work: Work, contract: Path | None = None) -> Model:
    """Load and check the model called `name`; `shipped` is exported from its weights once."""
    if str(name) == SHIPPED and not Path(name).exists():
        return load_model(shipped_folder(work), contract)
    return load_model(Path(name), contract)


def shipped_folder(work: Work) -> Path:
    """The shipped animator as a model folder in the store."""
    from edgeanim.models import export
    from edgeanim.models.shipped_files import shipped_digest

    parts = {"weights": shipped_digest(), "versions": versions()}

    def make(folder: Path) -> None:
        export.export_animator(folder)

    folder, _ = work.store.build("export", parts, make, fresh=work.fresh)
    return folder


def default_material(name: str | Path) -> Material | None:
    """What the shipped animator is calibrated and judged on; `None` for any other model."""
    if str(name) != SHIPPED:
        return None
    from edgeanim.pipeline.shipped import shipped_material

    return shipped_material()
