"""`edgeanim compile`: every precision that a model holds, for each backend, into one bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeanim.core.artifact import FLOAT32, FloatPrecision
from edgeanim.core.choices import must_be_tolerance
from edgeanim.core.errors import UsageError
from edgeanim.core.files import may_become_file, must_end_in, must_spare
from edgeanim.core.parsing import one_or_more
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.recipe import CompileSpec, load_recipe
from edgeanim.core.store import Store
from edgeanim.graph.load import Model
from edgeanim.pipeline.calibrate import carried_golden, make_golden
from edgeanim.pipeline.frames.material import gather
from edgeanim.pipeline.models import default_material, files_of_model, open_model, refuse_obstacles
from edgeanim.pipeline.parity import TOLERANCE, require_parity
from edgeanim.pipeline.variants import find_int8, make_variant
from edgeanim.pipeline.work import Work, versions
from edgeanim.runtime.golden import load_golden
from edgeanim.runtime.media import files_read
from edgeanim.targets.backends import get_backend
from edgeanim.targets.bundle import SUFFIX, Variant, open_bundle, write_bundle


@dataclass(frozen=True)
class Compiled:
    """The bundle written: its SHA-256, size in bytes, and variants by their ids; those that
    `need_vnni` are right on x86 only with that. `parity` is, by backend, how many levels of 0..255
    its worst float32 frame is off from the model's own, in the mean."""

    path: Path
    sha256: str
    bytes: int
    variants: tuple[str, ...]
    need_vnni: tuple[str, ...] = ()
    parity: Mapping[str, float] = field(default_factory=dict)


def compile(  # noqa: A001 the command's own name
    model: str | Path,
    *,
    out: str | Path,
    backends: str | Sequence[str] = (),
    floats: FloatPrecision | Sequence[FloatPrecision] | None = None,
    recipe: str | Path | None = None,
    frames: str | Path | None = None,
    board: str | Path = "local",
    inputs: Mapping[str, str | Path] | None = None,
    tolerance: float = TOLERANCE,
    progress: Progress = SILENT,
    store: Store | None = None,
    fresh: bool = False,
) -> Compiled:
    """Compile `model` for every backend asked for and write a bundle to `out`.

    A folder from `quantize` gives a float and an INT8 variant per backend, an .onnx the float ones.
    They compute in each of `floats` (float32 if none are given), or in all that the board has for a
    backend if it is empty; `UsageError` if it has not what was asked for. A `recipe` gives the
    backends and the floats where they are not given here. The golden frames are the folder's own,
    or made from `frames` (see `quantize`'s `calib`).

    In float32 each backend has to show that scene as the model itself does: `GateFailed` where a
    frame is off by more than `tolerance` levels of 0..255 in the mean, and nothing is written.
    """
    must_be_tolerance(tolerance)
    may_become_file(Path(out))
    read = [*files_of_model(model), *(inputs or {}).values()]
    read += [] if frames is None else files_read(frames)
    must_spare(Path(out), read if recipe is None else [*read, recipe])
    must_end_in(SUFFIX, out, "A bundle")
    given = CompileSpec() if recipe is None else load_recipe(Path(recipe)).compile
    work = Work.on(board, store=store, progress=progress, fresh=fresh)
    names = work.backends(one_or_more(backends) or given.backends)
    chosen = given.floats if floats is None else one_or_more(floats)
    _require_floats(work, names, chosen, recipe if floats is None else None)
    progress.stage("Read the model")
    source = open_model(model, work)
    refuse_obstacles(work, source, names)
    golden = _golden(work, model, source, frames, inputs or {})
    progress.done()
    return compile_model(
        work, source, Path(model), golden, Path(out), names, floats=chosen, tolerance=tolerance
    )


def compile_model(
    work: Work,
    model: Model,
    folder: Path,
    golden: Path,
    out: Path,
    backends: tuple[str, ...],
    tracks: Mapping[str, Path] | None = None,
    floats: tuple[FloatPrecision, ...] = (FLOAT32,),
    tolerance: float = TOLERANCE,
) -> Compiled:
    """The same for a model and golden frames that are at hand; `tracks` are stored motions."""
    int8 = find_int8(folder, model)
    scene = load_golden(golden).scene
    variants: list[Variant] = []
    parity: dict[str, float] = {}
    for backend in backends:
        forms = [(model.graphs, each) for each in floats or work.floats(backend)]
        accepts = get_backend(backend).accepts
        forms += [(graphs, FLOAT32) for scheme, graphs in int8.items() if accepts(scheme)]
        work.progress.stage(f"Compile for {backend}", len(model.graphs) * len(forms))
        variants += [make_variant(work, backend, *form) for form in forms]
        work.progress.done()
        if found := require_parity(work, model, backend, scene, tolerance):
            parity[backend] = found.levels
    provenance = {"model": model.digest, "board": work.board.name, "tools": versions()}
    write_bundle(
        out,
        contract=model.contract,
        variants=variants,
        golden=golden,
        tracks=tracks or {},
        provenance=provenance,
    )
    with open_bundle(out) as bundle:
        ids = tuple(variant.id for variant in bundle.variants)
        need = tuple(variant.id for variant in bundle.variants if variant.needs_vnni)
        return Compiled(out, bundle.sha256, out.stat().st_size, ids, need, parity)


def _require_floats(
    work: Work,
    backends: tuple[str, ...],
    floats: tuple[FloatPrecision, ...],
    recipe: str | Path | None,
) -> None:
    where, all_of_them = "--floats", "`--floats all` means"
    if recipe is not None:
        where, all_of_them = f"{recipe} [compile.floats]", "an empty list means"
    for backend in backends:
        there = work.floats(backend)
        for each in floats:
            if each not in there:
                raise UsageError(
                    f"{backend} does not compute in {each} on the board {work.board.name!r}.",
                    where=where,
                    hint=f"It has {', '.join(there)}; {all_of_them} what each backend has.",
                )


def _golden(
    work: Work,
    name: str | Path,
    model: Model,
    frames: str | Path | None,
    inputs: Mapping[str, str | Path],
) -> Path:
    if frames is None and (carried := carried_golden(name)):
        if inputs:
            raise UsageError(
                "The model folder brings its golden frames, and with them the inputs that they "
                "were made with.",
                where="--input",
                hint="Leave it out, or give --frames too, of which others are made.",
            )
        return carried
    material = gather(
        model.contract,
        frames,
        inputs,
        limit=64,
        default=default_material(model.contract),
        option="--frames",
    )
    return make_golden(work, model, material.held_out)
