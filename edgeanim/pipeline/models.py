"""The model that a command is given: a folder, an .onnx, or `shipped`, our own animator."""

from __future__ import annotations

from pathlib import Path

from edgeanim.graph.load import Model, load_model
from edgeanim.pipeline.material import Material
from edgeanim.pipeline.work import Work, versions

SHIPPED = "shipped"


def open_model(name: str | Path, work: Work, contract: Path | None = None) -> Model:
    """Load and check the model called `name`; `shipped` is exported from its weights once."""
    return load_model(model_path(name, work), contract)


def model_path(name: str | Path, work: Work) -> Path:
    """Where the model called `name` lies; a file or folder of the user's own goes before ours."""
    return shipped_folder(work) if _is_shipped(name) else Path(name)


def _is_shipped(name: str | Path) -> bool:
    return str(name) == SHIPPED and not Path(name).exists()


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
    if not _is_shipped(name):
        return None
    from edgeanim.pipeline.shipped import shipped_material

    return shipped_material()
