"""The far end of a link. Sent over whole by `link.py` with every connection and run there by the
user's environment for edgeanim, or else by the system's own Python (3.7 or later), so it uses the
standard library only and nothing of edgeanim.

It reads requests (a JSON line each, some followed by bytes) and answers each with a JSON line, some
followed by bytes. Everything lies in `~/.edgeanim`:

    blobs/SHA256        what was pushed, by content: only what is not here is sent
    trees/HASH/         edgeanim's own code, laid out from blobs
    runs/ID/            one run: its input `in/`, `log.jsonl`, `out.txt`, its results, `done.json`
    bundles/ runtime edgeanim venv/     what `edgeanim deploy` and the user put there

A run is a process in a session of its own that outlives the link. It inherits a lock on its folder:
whether it still runs is told by that, not by a process number.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

Answer = Any  # a JSON object
HELLO = b"edgeanim-remote/1\n"
HOME = Path.home() / ".edgeanim"
BLOBS, TREES, RUNS = HOME / "blobs", HOME / "trees", HOME / "runs"
KEEP_SECONDS = 14 * 24 * 3600
SPARE_BYTES = 64 << 20
POLL_SECONDS, BEAT_SECONDS, GRACE_SECONDS = 0.3, 5.0, 10.0

# What a Python there is and has. Runs in that Python, so it is a text.
PROBE = """
import importlib.util as u, json, platform, sys
try:
    from importlib.metadata import distributions
except ImportError:  # before 3.8, which is too old anyway
    def distributions(): return ()
has = [n for n in sys.argv[1:] if u.find_spec(n)]
dists = {d.metadata["Name"].lower(): d.version for d in distributions() if d.metadata["Name"]}
print(json.dumps({"version": platform.python_version(), "machine": platform.machine(),
                  "libc": " ".join(platform.libc_ver()), "modules": has, "packages": dists}))
"""


# Open files, as long as this process follows their runs.
FOLLOWED: list[IO[Any]] = []


class Refused(Exception):
    """A request cannot be done; its text says why."""


def checked(digest: str) -> str:
    """`digest` if it is one, and so a safe file name."""
    if not re.fullmatch(r"[0-9a-f]{16,64}", digest):
        raise Refused(f"not a digest: {digest!r}")
    return digest


def below(folder: Path, name: str) -> Path:
    """The path of `name`, which must lie inside `folder`."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise Refused(f"not inside its folder: {name!r}")
    return folder / name


def probe(request: Answer, _stream: IO[bytes]) -> Answer:
    """Which Python runs are made with, and what it has."""
    command = [sys.executable, "-c", PROBE, *request["modules"]]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise Refused(f"{sys.executable} does not work: {done.stderr.decode(errors='replace')}")
    return dict(json.loads(done.stdout.decode()), python=sys.executable, home=str(HOME))


def missing(request: Answer, _stream: IO[bytes]) -> Answer:
    """Which of these contents are not here; those that are count as used now."""
    absent = []
    for digest in request["digests"]:
        blob = BLOBS / checked(digest)
        if blob.exists():
            os.utime(blob)
        else:
            absent.append(digest)
    return {"missing": absent}


def put(request: Answer, stream: IO[bytes]) -> Answer:
    """Contents, one after the other; each appears whole and with the right hash, or not at all."""
    BLOBS.mkdir(parents=True, exist_ok=True)
    total = sum(size for _, size in request["files"])
    free = shutil.disk_usage(BLOBS).free
    if free < total + SPARE_BYTES:
        needed = f"{(total >> 20) + 1} MB are to be sent and {SPARE_BYTES >> 20} MB to be left"
        raise Refused(f"{HOME} has only {free >> 20} MB of free disk space; {needed}")
    say({"go": True})
    # All of it is read before anything is refused: what follows must be the next request.
    failures = []
    for digest, size in request["files"]:
        pieces = _pieces(size, stream)
        try:
            _keep(checked(digest), pieces)
        except (Refused, OSError) as error:
            failures.append(error)
            for _ in pieces:
                pass
    if failures:
        raise failures[0]
    return {}


def _pieces(size: int, stream: IO[bytes]) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(size, 1 << 20))
        if not piece:
            raise SystemExit(1)  # the link was cut
        size -= len(piece)
        yield piece


def _keep(digest: str, pieces: Iterable[bytes]) -> None:
    handle, name = tempfile.mkstemp(prefix=".partial-", dir=BLOBS)
    partial = Path(name)
    try:
        seen = hashlib.sha256()
        with os.fdopen(handle, "wb") as target:
            for piece in pieces:
                target.write(piece)
                seen.update(piece)
        if seen.hexdigest() != digest:
            raise Refused("a file was damaged on its way")
        partial.replace(BLOBS / digest)
    finally:
        if partial.exists():
            partial.unlink()


def _lay(folder: Path, files: dict[str, str]) -> None:
    for name, digest in files.items():
        target = below(folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(BLOBS / checked(digest), target)
        except OSError:
            shutil.copyfile(BLOBS / digest, target)


def lay(request: Answer, _stream: IO[bytes]) -> Answer:
    """Lay out the tree with this hash, unless it is there."""
    tree = TREES / checked(request["tree"])
    if not tree.is_dir():
        TREES.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=TREES))
        try:
            _lay(partial, request["files"])
            partial.rename(tree)
        except OSError:
            shutil.rmtree(partial)
            if not tree.is_dir():  # else somebody else was faster
                raise
    os.utime(tree)
    return {"tree": str(tree)}


def running(run: Path) -> bool:
    """Whether the process of this run lives: it holds the lock."""
    return _is_held(run / "lock")


def _is_held(path: Path) -> bool:
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def start(request: Answer, _stream: IO[bytes]) -> Answer:
    """Start this run, or find it running or finished."""
    run = RUNS / checked(request["run"])
    with starting():
        answer = _start(run, request)
        _keep_from_others(run)
    return answer


def _keep_from_others(run: Path) -> None:
    """Whoever made the same call may be ready with it first, and must not remove it yet."""
    FOLLOWED.append((run / "followed").open("w"))
    fcntl.flock(FOLLOWED[-1], fcntl.LOCK_SH)


def _followed_by_others(run: Path) -> bool:
    while FOLLOWED:
        FOLLOWED.pop().close()
    return _is_held(run / "followed")


def starting() -> IO[str]:
    """A lock that one at a time holds to start a run, until it is closed."""
    RUNS.mkdir(parents=True, exist_ok=True)
    lock = (RUNS / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _start(run: Path, request: Answer) -> Answer:
    if run.is_dir() and not running(run) and not (run / "done.json").exists():
        shutil.rmtree(run)  # it was killed, or the board was switched off
    if run.is_dir():
        return {"state": "running" if running(run) else "finished", "began": run.stat().st_ctime}
    run.mkdir()
    with (run / "lock").open("w") as lock, (run / "out.txt").open("wb") as out:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _lay(run / "in", request["files"])
        (run / "call.json").write_text(json.dumps(request["call"]))
        (run / "log.jsonl").touch()
        process = subprocess.Popen(
            [sys.executable, "-m", request["module"]],
            cwd=run,
            env=dict(os.environ, PYTHONPATH=str(TREES / checked(request["tree"]))),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
        (run / "pid").write_text(str(process.pid))
    return {"state": "started", "began": time.time()}


def follow(request: Answer, _stream: IO[bytes]) -> Answer:
    """Pass on the run's log from byte `offset` until it ends; a line without news is a heartbeat,
    by which either end learns that the link is gone."""
    run = RUNS / checked(request["run"])
    if not run.is_dir():
        raise Refused("there is no such run")
    _keep_from_others(run)
    offset, beat = request["offset"], time.monotonic()
    while True:
        alive = running(run)
        text = _whole_lines(run / "log.jsonl", offset)
        if text or time.monotonic() - beat > BEAT_SECONDS:
            offset += len(text)
            beat = time.monotonic()
            say({"log": text.decode(errors="replace"), "offset": offset})
        if not alive and not text:
            break
        if not text:
            time.sleep(POLL_SECONDS)
    done = run / "done.json"
    tail = (run / "out.txt").read_text(errors="replace").strip()[-2000:]
    return {"done": json.loads(done.read_text()) if done.exists() else None, "tail": tail}


def _whole_lines(path: Path, offset: int) -> bytes:
    with path.open("rb") as log:
        log.seek(offset)
        text = log.read(1 << 20)
    return text[: text.rfind(b"\n") + 1]


def fetch(request: Answer, _stream: IO[bytes]) -> Answer:
    """A file of the run: its size and hash, then its bytes."""
    data = below(RUNS / checked(request["run"]), request["name"]).read_bytes()
    say({"size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    sys.stdout.buffer.write(data)
    return {}


def stop(request: Answer, _stream: IO[bytes]) -> Answer:
    """End this run: as Ctrl-C does, so that it ends its own workers; by force if that fails."""
    run = RUNS / checked(request["run"])
    starting().close()  # only what has begun can be ended
    for number in (signal.SIGINT, signal.SIGKILL):
        if not running(run):
            break
        try:
            os.killpg(int((run / "pid").read_text()), number)
        except (ValueError, OSError):
            break
        end = time.monotonic() + GRACE_SECONDS
        while running(run) and time.monotonic() < end:
            time.sleep(0.05)
    return {}


def drop(request: Answer, _stream: IO[bytes]) -> Answer:
    """Remove this run unless somebody else follows it (or `anyway`), and whatever of everything has
    not been used for two weeks."""
    run = RUNS / checked(request["run"])
    with starting():
        if request.get("anyway") or not _followed_by_others(run):
            shutil.rmtree(run, ignore_errors=True)
    runtime = HOME / "runtime"
    kept = runtime.resolve() if runtime.exists() else None
    for folder in (BLOBS, TREES, RUNS):
        for path in folder.iterdir() if folder.is_dir() else ():
            old = time.time() - path.stat().st_mtime > KEEP_SECONDS
            if not old or path.resolve() == kept or (folder == RUNS and running(path)):
                continue
            (shutil.rmtree if path.is_dir() else Path.unlink)(path)
    return {}


def say(answer: Answer) -> None:
    """Answer with one line."""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


VERBS = (probe, missing, put, lay, start, follow, fetch, stop, drop)


def main() -> None:
    """Answer requests until the link is closed."""
    verbs = {verb.__name__: verb for verb in VERBS}
    stream = sys.stdin.buffer
    # A login shell may have printed something of its own before.
    sys.stdout.buffer.write(HELLO)
    sys.stdout.buffer.flush()
    for line in iter(stream.readline, b""):
        request = json.loads(line.decode())
        try:
            say(verbs[request["do"]](request, stream))
        except BrokenPipeError:
            raise
        except (Refused, OSError) as error:
            say({"refused": str(error)})


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os._exit(1)
