"""The player on the animator's own graphs and real runtimes, and what a board's process imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeanim.core.contract import load_contract
from edgeanim.graph.load import load_model
from edgeanim.runtime.motion import MotionTrack
from edgeanim.runtime.player import Player, load_player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import SessionOptions, get_backend
from edgeanim.targets.board import load_board
from edgeanim.targets.bundle import Variant


def _player(folder: Path, backend: str, out: Path) -> Player:
    model = load_model(folder)
    board = load_board("local")
    compiled = tuple(get_backend(backend).compile(graph, board, out) for graph in model.graphs)
    return load_player(model.contract, Variant(backend, "float32", compiled), SessionOptions())


@pytest.fixture(scope="module")
def scene() -> Scene:
    y, x = np.mgrid[0:96, 0:120]
    waves = [np.sin((x + 3 * t) / 9) * np.cos((y - 2 * t) / 7) for t in range(4)]
    frames = np.stack([np.stack([w, -w, w * w], -1) for w in waves])
    driver = ((frames + 1) * 127).astype(np.uint8)
    return Scene(still=driver[2, :, ::-1].copy(), driver=driver)


def test_backends_play_the_animator_alike(exported_animator: Path, scene: Scene, tmp_path: Path):
    played = {}
    for backend in ("onnxruntime", "openvino"):
        pytest.importorskip(backend)
        with _player(exported_animator, backend, tmp_path / backend) as player:
            played[backend] = np.stack(list(player.play(scene)))
    one, other = played.values()
    assert one.shape == (4, 96, 120, 3)
    assert np.abs(one.astype(int) - other).max() <= 2
    # The frames differ from each other: the driver's motion does reach them.
    assert np.abs(one[0].astype(int) - one[3]).mean() > 0.5


def test_a_stored_motion_equals_the_live_driver_that_it_was_taken_from(
    exported_animator: Path, scene: Scene, tmp_path: Path
):
    pytest.importorskip("onnxruntime")
    taken: list[np.ndarray] = []

    class Listening:
        """Passes on a session's runs and keeps the motion that it finds."""

        def __init__(self, session) -> None:
            self._session = session
            self.spec = session.spec

        def run(self, inputs):
            outputs = self._session.run(inputs)
            taken.append(outputs["motion"].copy())
            return outputs

        def close(self) -> None:
            self._session.close()

    with _player(exported_animator, "onnxruntime", tmp_path) as player:
        player._sessions["regions"] = Listening(player._sessions["regions"])
        listening = Player(player.contract, player._sessions)
        live = np.stack(list(listening.play(scene)))
        track = MotionTrack(np.concatenate(taken[1:]), 10)
        stored = np.stack(list(player.play(Scene(still=scene.still, track=track))))
    np.testing.assert_array_equal(stored, live)
    assert np.abs(live[0].astype(int) - live[3]).mean() > 0.5


def test_a_process_that_plays_imports_no_torch_and_no_onnx(exported_animator: Path, tmp_path: Path):
    """What a board needs: the player, a backend, and nothing of the workstation."""
    contract = load_contract(exported_animator)
    with _player(exported_animator, "onnxruntime", tmp_path) as player:
        assert player.contract == contract
    script = """
import json, sys
import numpy as np
from pathlib import Path
from edgeanim.core.artifact import CompiledGraph
from edgeanim.core.contract import load_contract
from edgeanim.runtime.golden import Golden
from edgeanim.runtime.media import read_frames, write_animation
from edgeanim.runtime.player import load_player
from edgeanim.runtime.scene import Scene
from edgeanim.targets.backends import SessionOptions
from edgeanim.targets.bundle import Variant
folder, compiled, out = map(Path, sys.argv[1:])
contract = load_contract(folder)
graphs = tuple(
    CompiledGraph("onnxruntime", "float32", "float32", g, (compiled / f"{g.name}.onnx",), {})
    for g in contract.graphs
)
player = load_player(contract, Variant("onnxruntime", "float32", graphs), SessionOptions())
rng = np.random.default_rng(0)
driver = rng.integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
write_animation(out, player.play(Scene(still=driver[0], driver=driver)), 10)
heavy = {"torch", "onnx", "openvino", "nncf", "matplotlib", "ai_edge_litert", "scipy"}
inner = {"edgeanim.quantize", "edgeanim.models", "edgeanim.graph"}
print(json.dumps([len(list(read_frames(out))), sorted((heavy | inner) & set(sys.modules))]))
"""
    args = [str(exported_animator), str(tmp_path), str(tmp_path / "out.gif")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *args],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == [3, []]


def test_the_style_model_plays_photographs(style_model: Path, media: Path, tmp_path: Path):
    """Two inputs, channels last, a size of its own, and nobody here made it."""
    pytest.importorskip("onnxruntime")
    from edgeanim.runtime.media import read_frames

    model = load_model(style_model)
    with _player(style_model, "onnxruntime", tmp_path) as player:
        name = player.needs.conditions[0]
        spec = next(s for s in model.contract.graphs[0].inputs if s.role == f"condition:{name}")
        styles = np.random.default_rng(1).normal(0, 0.3, (2, *spec.shape[1:])).astype(np.float32)
        frames = list(
            player.play(
                Scene(
                    driver=read_frames(media / "clips_head" / "head_turn_a.gif", limit=2),
                    conditions={name: styles},
                )
            )
        )
    # 480 x 270 fitted into 384 x 384 and cut out again.
    assert [frame.shape for frame in frames] == [(216, 384, 3)] * 2
    assert all(frame.std() > 5 for frame in frames)
