"""Play the float model on real scenes and keep what its graphs were given, as calibration."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeanim.benchmarks.runner import scene_digest
from edgeanim.core.artifact import Array
from edgeanim.core.errors import BadInput
from edgeanim.graph.load import Model
from edgeanim.pipeline.material import Material
from edgeanim.pipeline.work import Work, open_original, play, versions
from edgeanim.quantize.calibration import DiskSamples, SampleWriter, check_samples
from edgeanim.quantize.coverage import frame_features, k_center
from edgeanim.runtime.golden import Golden, save_golden
from edgeanim.runtime.scene import Scene

GOLDEN_FILE = "golden.npz"


def record_samples(
    work: Work, model: Model, material: Material, count: int
) -> dict[str, DiskSamples]:
    """Calibration samples for every graph, about `count` for those that run per frame."""
    parts = {
        "model": model.digest,
        "scenes": [scene_digest(scene) for scene in material.calibration],
        "count": count,
        "chosen": "k-center",
        "versions": versions(),
    }

    def make(folder: Path) -> None:
        _record(work, model, _thinned(material.calibration, count), folder)

    folder, _ = work.store.build("samples", parts, make, fresh=work.fresh)
    found = {graph.spec.name: DiskSamples(folder / graph.spec.name) for graph in model.graphs}
    for graph in model.graphs:
        if graph.spec.runs == "frame":
            check_samples(found[graph.spec.name], graph.spec)
    return found


def find_golden(work: Work, source: str | Path, model: Model, scene: Scene) -> Path:
    """The golden file of the model folder `source`, or a new one made on the held-out `scene`.

    A folder that edgeanim wrote carries the frames of what the user started from, so that drift is
    always counted from there, through pruning and quantising alike.
    """
    carried = Path(source) / GOLDEN_FILE
    return carried if carried.is_file() else make_golden(work, model, scene)


def make_golden(work: Work, model: Model, scene: Scene) -> Path:
    """A golden file: the held-out scene with the float32 model's frames, kept in the store."""
    parts = {"model": model.digest, "scene": scene_digest(scene), "versions": versions()}

    def make(folder: Path) -> None:
        with open_original(work, model.contract, model.graphs) as player:
            frames = play(player, scene)
        save_golden(folder / GOLDEN_FILE, Golden(scene, frames))

    folder, _ = work.store.build("golden", parts, make, fresh=work.fresh)
    return folder / GOLDEN_FILE


def _record(work: Work, model: Model, scenes: list[Scene], folder: Path) -> None:
    with ExitStack() as stack:
        writers = {
            graph.spec.name: stack.enter_context(SampleWriter(folder / graph.spec.name, graph.spec))
            for graph in model.graphs
        }

        def record(name: str, inputs: Mapping[str, Array]) -> None:
            writers[name].add(inputs)

        player = stack.enter_context(open_original(work, model.contract, model.graphs, record))
        for scene in scenes:
            for _ in player.play(scene):
                work.progress.step()
        silent = [name for name, writer in writers.items() if writer.count == 0]
        if silent:
            raise BadInput(
                f"The graph {silent[0]!r} never ran on these scenes.",
                hint="Give clips, so that there is a driver to follow.",
            )


def _thinned(scenes: tuple[Scene, ...], count: int) -> list[Scene]:
    """The scenes with those frames that cover their motion and brightness, about `count` in all."""
    each = max(2, -(-count // max(1, len(scenes))))
    thinned = []
    for scene in scenes[:count]:
        if scene.track is not None and len(scene.track) > each:
            poses = scene.track.values.reshape(len(scene.track), -1).astype(np.float64)
            kept = k_center(poses, each)
            track = replace(scene.track, values=scene.track.values[kept])
            thinned.append(replace(scene, track=track))
        elif scene.driver is not None:
            frames = np.asarray(scene.driver)
            kept = k_center(frame_features(frames), each)
            thinned.append(replace(scene, driver=frames[kept]))
        else:
            thinned.append(scene)
    return thinned
