"""Stand-ins for a board: an `ssh` on the path that runs the command here, and a real sshd."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgeanim.targets.on.payload import Payload
from edgeanim.targets.on.places import SshHost
from edgeanim.targets.on.remote import Call

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

# Counts to `steps`, a line of progress each, and leaves what it counted.
COUNTING = """
import json, pathlib, time
options = json.loads(pathlib.Path("call.json").read_text())["options"]
with open("started", "a") as mark:
    mark.write("once\\n")
with open("log.jsonl", "a", buffering=1) as log:
    log.write(json.dumps({"stage": "Count", "total": options["steps"]}) + "\\n")
    for i in range(options["steps"]):
        time.sleep(options["pause"])
        log.write(json.dumps({"step": 1, "note": str(i)}) + "\\n")
pathlib.Path("answer.json").write_text(pathlib.Path("started").read_text())
if options.get("end") == "die":
    raise SystemExit("no more memory")
if options.get("end") == "refuse":
    error = {"class": "BadInput", "what": "Too blue.", "where": "x.png", "hint": "Paint it."}
    pathlib.Path("done.json").write_text(json.dumps({"error": error}))
else:
    pathlib.Path("done.json").write_text('{"error": null}')
"""


@dataclass
class Notes:
    """A progress that remembers."""

    stages: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    def stage(self, title: str, total: int | None = None) -> None:
        del total
        self.stages.append(title)

    def step(self, count: int = 1, note: str = "") -> None:
        del count
        self.steps.append(note)

    def done(self, note: str = "") -> None:
        self.ends.append(note)


@dataclass
class Board:
    """A far end: its home folder, its host as we call it, and how our client reaches it."""

    home: Path
    host: SshHost
    bin: Path

    @property
    def folder(self) -> Path:
        return self.home / ".edgeanim"

    def runs(self) -> list[Path]:
        runs = self.folder / "runs"
        return [p for p in runs.iterdir() if p.is_dir()] if runs.is_dir() else []

    def wait_for(self, run_steps: int, seconds: float = 20) -> None:
        """Until the run has counted so far."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if any(p.read_text().count("step") >= run_steps for p in self._logs()):
                return
            time.sleep(0.02)
        raise AssertionError("the run did not get that far")

    def _logs(self) -> list[Path]:
        return [run / "log.jsonl" for run in self.runs() if (run / "log.jsonl").exists()]


def counting_call(folder: Path, **options: object) -> Call:
    job = folder / "job.py"
    job.write_text(COUNTING)
    given = {"steps": 8, "pause": 0.1, **options}
    return Call("count", given, Payload.of({"job.py": job}), (), ("answer.json",))


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def fake_board(folder: Path, monkeypatch: pytest.MonkeyPatch, before: str = "") -> Board:
    """`ssh` runs the command here, in a home of its own; `before` is what its shell does first."""
    home, far, near = folder / "home", folder / "far", folder / "near"
    home.mkdir(parents=True, exist_ok=True)
    script(far / "python3", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    script(
        near / "ssh",
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/arguments\n'
        'while [ "$1" != "--" ]; do shift; done; shift 2\n'
        f'export HOME={home} PATH={far}:/usr/bin:/bin\n{before}\nexec sh -c "$*"\n',
    )
    monkeypatch.setenv("PATH", f"{near}:{os.environ['PATH']}")
    return Board(home, SshHost("board", "pi"), near)


def real_board(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Board, subprocess.Popen[bytes]]:
    """A real sshd on loopback with throw-away keys; the caller ends it."""
    ssh = shutil.which("ssh")
    if SSHD is None or ssh is None or shutil.which("ssh-keygen") is None:
        pytest.skip("there is no OpenSSH server and client here")
    if os.geteuid() == 0:  # it then gives up its rights into this folder, which its service makes
        try:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        except OSError as error:
            pytest.skip(f"sshd needs /run/sshd: {error}")
    home, far, near = folder / "home", folder / "far", folder / "near"
    home.mkdir()
    script(far / "python3", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"SetEnv HOME={home} PATH={far}:/usr/bin:/bin\n"
    )
    public = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    (folder / "config").write_text(
        f"Host board\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n"
        f" IdentityFile {folder}/user\n IdentitiesOnly yes\n IdentityAgent none\n"
        f" UserKnownHostsFile {folder}/known_hosts\n StrictHostKeyChecking ask\n"
    )
    script(near / "ssh", f'#!/bin/sh\nexec {ssh} -F {folder}/config "$@"\n')
    monkeypatch.setenv("PATH", f"{near}:{os.environ['PATH']}")
    with (folder / "sshd.log").open("wb") as log:
        command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
        server = subprocess.Popen(command, stderr=log)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    return Board(home, SshHost("board"), near), server
