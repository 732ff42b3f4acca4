"""`edgeanim deploy`: a bundle and the runtime on a board, proved by playing its golden frames."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import edgeanim
from edgeanim.benchmarks.drift.frames import measure_drift
from edgeanim.benchmarks.drift.similarity import must_hold_window
from edgeanim.core.errors import DeviceFailed, UsageError
from edgeanim.core.files import atomic_path, write_text
from edgeanim.core.parsing import parse, parse_json
from edgeanim.core.progress import SILENT, Progress
from edgeanim.pipeline.compiled import require_bundle
from edgeanim.pipeline.on.far_end import ANSWER
from edgeanim.pipeline.on.golden import first_frames
from edgeanim.pipeline.playable import to_play
from edgeanim.pipeline.work import Work, play, player_of
from edgeanim.runtime.golden import load_golden
from edgeanim.runtime.needs import Needs
from edgeanim.targets.bundle import SUFFIX, open_bundle
from edgeanim.targets.on.payload import Payload, files_of
from edgeanim.targets.on.places import SshHost, parse_place
from edgeanim.targets.on.remote import Call, Connect, Remote, ended_with_us, new_nonce

_PROOF_FRAMES = 3
# Far below what INT8 costs, far above what a broken runtime shows.
_PROOF_SSIM = 0.8


@dataclass(frozen=True)
class Installed:
    """What is there now. `variant` is the one that plays by default, `ssim` how close its first
    frames come to the golden ones (`None` without golden frames), `note` what to know of it there,
    if anything. `inputs` are those of the model that are neither a still nor a driver."""

    bundle: str
    command: str
    variant: str
    ssim: float | None
    tracks: tuple[str, ...]
    needs_still: bool
    note: str | None = None
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deployed:
    """A bundle on a host; `play` is the command line that plays it there."""

    place: str
    installed: Installed
    play: str


def deploy(
    bundle: str | Path,
    *,
    to: str,
    progress: Progress = SILENT,
    connect: Connect = Remote,
) -> Deployed:
    """Put `bundle` and edgeanim's own code on the host `to` (`ssh://[user@]host[:port]`), and play
    its first golden frames there.

    `MissingComponent` says what has to be installed there first. `BadInput` for frames that are too
    small to tell whether they are right.
    """
    path, place = Path(bundle), parse_place(to)
    if not isinstance(place, SshHost):
        raise UsageError(f"{to!r} is not a host.", where="--to", hint="Use ssh://[user@]host.")
    require_bundle(path)
    if path.suffix != SUFFIX:
        raise UsageError(
            "Only a bundle can be deployed.", where=path, hint=f"Its name ends in {SUFFIX}."
        )
    with open_bundle(path) as opened:
        backends = tuple(dict.fromkeys(variant.backend for variant in opened.variants))
        if opened.golden is not None:
            must_hold_window(load_golden(opened.golden).frames[0])
    files = Payload.of(files_of(path, path.name))
    options = {"bundle": path.name}
    call = Call("install", options, files, backends, (ANSWER,), nonce=new_nonce())
    remote = connect(place, progress)
    with ended_with_us([remote], call):
        answer = remote.run(call)[ANSWER].decode("utf-8", errors="replace")
    installed = parse(Installed, parse_json(answer, where=place.label), where=place.label)
    return Deployed(place.label, installed, _play_line(place, installed))


def install(bundle: Path, *, progress: Progress = SILENT) -> Installed:
    """The far end: put `bundle`, this code and the `edgeanim` command where they stay."""
    home = Path.home() / ".edgeanim"
    target, command = home / "bundles" / bundle.name, home / "edgeanim"
    progress.stage("Play the golden frames")
    installed = _proven(bundle, str(target), str(command))
    progress.done(installed.variant)
    with atomic_path(target) as partial:
        shutil.copyfile(bundle, partial)
    code, link = Path(edgeanim.__file__).resolve().parents[1], home / "runtime"
    fresh = home / ".runtime-new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(code)
    fresh.replace(link)
    python = shlex.quote(sys.executable)
    write_text(
        command,
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(link))} exec {python} -m edgeanim "$@"\n',
    )
    command.chmod(0o755)
    return installed


def _proven(bundle: Path, target: str, command: str) -> Installed:
    """What is there once `bundle`, whose golden frames are played here, lies at `target`."""
    work = Work.on("local")
    with open_bundle(bundle) as opened:
        chosen, note = to_play(opened.variants, None, work)
        needs = Needs.of(opened.contract)
        ssim = None
        if opened.golden is not None:
            golden = first_frames(load_golden(opened.golden), _PROOF_FRAMES)
            with player_of(work, opened.contract, chosen) as player:
                played = play(player, golden.scene, len(golden.frames))
            ssim = measure_drift(played, golden.frames).ssim_mean
            if ssim < _PROOF_SSIM:
                raise DeviceFailed(
                    f"{chosen.id} does not show what it should: SSIM {ssim:.3f}.",
                    hint="Run `edgeanim doctor` there and install another version of the runtime.",
                )
        tracks = tuple(opened.tracks)
        return Installed(
            target, command, chosen.id, ssim, tracks, needs.still, note, needs.conditions
        )


def _play_line(place: SshHost, installed: Installed) -> str:
    """How to play it there. The far shell gets one word, quoted."""
    track = installed.tracks[0] if installed.tracks else "CLIP"
    words = [installed.command, "animate", installed.bundle, "--drive", track, "-o", "out.gif"]
    words += ["--still", "STILL.png"] if installed.needs_still else []
    for name in installed.inputs:
        words += ["--input", f"{name}=FILE.npy"]
    user = ["-l", place.user] if place.user else []
    port = ["-p", str(place.port)] if place.port else []
    return shlex.join(["ssh", *user, *port, place.host, shlex.join(words)])
