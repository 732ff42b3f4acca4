"""Play the float model on real scenes and keep what its graphs were given, as calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeanim.benchmarks.drift.similarity import must_hold_window
from edgeanim.benchmarks.runner import scene_digest
from edgeanim.core.artifact import Array
from edgeanim.core.contract import Contract
from edgeanim.core.errors import BadInput
from edgeanim.core.files import write_text
from edgeanim.core.parsing import load_json, parse, to_plain
from edgeanim.graph.load import Model
from edgeanim.pipeline.clipping import clipping_in_words
from edgeanim.pipeline.frames.material import Material
from edgeanim.pipeline.frames.relit import also_relit
from edgeanim.pipeline.work import Work, open_original, play, versions
from edgeanim.quantize.calibration.coverage import frame_features, k_center
from edgeanim.quantize.calibration.samples import DiskSamples, SampleWriter, check_samples
from edgeanim.quantize.pruning.takes import Script, Takes
from edgeanim.runtime.golden import Golden, load_golden, save_golden
from edgeanim.runtime.moments import at_moments
from edgeanim.runtime.scene import Scene

GOLDEN_FILE = "golden.npz"
_SCRIPTS_FILE = "scripts.json"


@dataclass(frozen=True)
class Recording:
    """What every graph was given while scenes were played, and in which order they ran."""

    samples: Mapping[str, DiskSamples]
    scripts: tuple[Script, ...]

    @property
    def takes(self) -> Takes:
        """The same as takes of the whole model."""
        return Takes(self.samples, self.scripts)


def record_samples(
    work: Work, model: Model, material: Material, count: int, *, in_other_light: bool = False
) -> Mapping[str, DiskSamples]:
    """Calibration samples for every graph, about `count` for those that run per frame, and at most
    as many again `in_other_light`, if asked for (see `frames.relit`)."""
    return record(work, model, material, count, in_other_light=in_other_light).samples


def record(
    work: Work, model: Model, material: Material, count: int, *, in_other_light: bool = False
) -> Recording:
    """Play the material's scenes, about `count` frames in all, `in_other_light` too if asked for,
    and keep what the graphs were given."""
    parts = {
        "model": model.digest,
        "scenes": [scene_digest(scene) for scene in material.calibration],
        "count": count,
        "chosen": "k-center",
        "in_other_light": in_other_light,
        "scripts": 1,
        "versions": versions(),
    }

    def make(folder: Path) -> None:
        scenes = _thinned(material.calibration, count, model.contract)
        played = also_relit(scenes, model.contract) if in_other_light else scenes
        _record(work, model, played, folder)

    folder, _ = work.build("samples", parts, make)
    found = {graph.spec.name: DiskSamples(folder / graph.spec.name) for graph in model.graphs}
    for graph in model.graphs:
        if graph.spec.runs == "frame":
            check_samples(found[graph.spec.name], graph.spec)
    scripts = parse(_Scripts, load_json(folder / _SCRIPTS_FILE), where=folder / _SCRIPTS_FILE)
    return Recording(found, scripts.scenes)


@dataclass(frozen=True)
class _Scripts:
    scenes: tuple[Script, ...]


def find_golden(work: Work, source: str | Path, model: Model, scene: Scene) -> Path:
    """The golden file of the model folder `source`, or a new one made on the held-out `scene`.

    A folder that edgeanim wrote carries the frames of what the user started from, so that drift is
    always counted from there, through pruning and quantising alike. `BadInput` for frames that are
    too small to count it.
    """
    golden = carried_golden(source) or make_golden(work, model, scene)
    must_hold_window(load_golden(golden).frames[0])
    return golden


def carried_golden(source: str | Path) -> Path | None:
    """The golden file of the model folder `source`, if it has one; `BadInput` if it is damaged."""
    carried = Path(source) / GOLDEN_FILE
    if not carried.is_file():
        return None
    load_golden(carried)
    return carried


def make_golden(work: Work, model: Model, scene: Scene) -> Path:
    """A golden file: the held-out scene with the float32 model's frames, kept in the store. It is
    told if they look clipped."""
    golden = own_frames(work, model, scene)
    _tell_of_clipping(work, model, golden)
    return golden


def own_frames(work: Work, model: Model, scene: Scene) -> Path:
    """The same, and nothing is told."""
    parts = {"model": model.digest, "scene": scene_digest(scene), "versions": versions()}

    def make(folder: Path) -> None:
        with open_original(work, model.contract, model.graphs) as player:
            frames = play(player, scene)
        save_golden(folder / GOLDEN_FILE, Golden(scene, frames))

    folder, _ = work.build("golden", parts, make)
    return folder / GOLDEN_FILE


def _tell_of_clipping(work: Work, model: Model, golden: Path) -> None:
    if said := clipping_in_words(model, golden):
        work.progress.stage("Look at the frames")
        work.progress.done(said)


def _record(work: Work, model: Model, scenes: list[Scene], folder: Path) -> None:
    with ExitStack() as stack:
        writers = {
            graph.spec.name: stack.enter_context(SampleWriter(folder / graph.spec.name, graph.spec))
            for graph in model.graphs
        }

        ran: list[str] = []

        def record(name: str, inputs: Mapping[str, Array]) -> None:
            writers[name].add(inputs)
            ran.append(name)

        player = stack.enter_context(open_original(work, model.contract, model.graphs, record))
        scripts = []
        for scene in scenes:
            ran.clear()
            frames = 0
            for _ in player.play(scene):
                frames += 1
                work.progress.step()
            scripts.append(_script(model.contract, scene, ran, frames))
        silent = [name for name, writer in writers.items() if writer.count == 0]
        if silent:
            raise BadInput(
                f"The graph {silent[0]!r} never ran on these scenes.",
                hint="Give clips, so that there is a driver to follow.",
            )
        write_text(folder / _SCRIPTS_FILE, json.dumps(to_plain(_Scripts(tuple(scripts)))))


def _script(contract: Contract, scene: Scene, ran: list[str], frames: int) -> Script:
    """The script of a scene of which these graphs ran; every frame runs the same ones."""
    follows = scene.driver is not None
    each = [g for g in contract.graphs if g.runs == "frame" or (follows and g.runs == "driver")]
    before = len(ran) - frames * len(each)
    return Script(tuple(ran[:before]), tuple(ran[before : before + len(each)]), frames)


def _thinned(scenes: tuple[Scene, ...], count: int, contract: Contract) -> list[Scene]:
    """The scenes with those frames that cover their motion and brightness, about `count` in all."""
    each = max(2, -(-count // max(1, len(scenes))))
    thinned = []
    for scene in scenes[:count]:
        if scene.track is not None:
            features = scene.track.values.reshape(len(scene.track), -1).astype(np.float64)
        elif scene.driver is not None:
            features = frame_features(scene.driver)
        else:
            thinned.append(scene)
            continue
        thinned.append(at_moments(scene, k_center(features, each), contract))
    return thinned
