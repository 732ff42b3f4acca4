"""A call of edgeanim on a host: push what is not there, run, follow, fetch, clean up.

The run belongs to the host: it goes on when the link is lost, and whoever makes the same call again
finds it, running or finished, by the hash of all that goes into it. So a bench is picked up; what a
board is now, or is to be from now on, is asked anew.
"""

from __future__ import annotations

import hashlib
import secrets
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from edgeanim.core import errors
from edgeanim.core.errors import BadInput, DeviceFailed, EdgeanimError, MissingComponent
from edgeanim.core.files import canonical_json, sha256_bytes
from edgeanim.core.interruption import clearing_away
from edgeanim.core.parsing import parse, parse_json, to_plain
from edgeanim.core.progress import SILENT, Progress
from edgeanim.targets.on.link import Link, LinkLost, Unreachable, on_a_line, open_link
from edgeanim.targets.on.needs import Found, asked_modules, lacking
from edgeanim.targets.on.payload import Payload, runtime
from edgeanim.targets.on.places import SshHost

# Who runs there: `python -m MODULE` in the run's folder reads `call.json` and the files in `in/`.
MODULE = "edgeanim.pipeline.on.far_end"
RETRY_SECONDS = (1.0, 3.0, 10.0, 30.0, 60.0)
_MAX_RESULT_BYTES = 64 << 20
_CHUNK = 1 << 20
# With the day: a run may have waited there for two weeks.
_WHEN = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Call:
    """What to do there: `function` of `pipeline.on.far_end` with `options` (plain values), with
    `files` beside it. `backends` are those that its bundle has variants for; `results` the files
    to bring back; `code` is edgeanim itself as it is now. `nonce` tells a call that only counts
    now from an equal one before, whose run nobody shall find there."""

    function: str
    options: Mapping[str, Any]
    files: Payload
    backends: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    code: Payload = field(default_factory=lambda: runtime())
    nonce: str = ""

    @property
    def id(self) -> str:
        """Equal calls of equal code are one run."""
        parts = {
            "function": self.function,
            "options": to_plain(self.options),
            "files": self.files.digest,
            "runtime": self.code.digest,
            "moment": self.nonce,
        }
        return sha256_bytes(canonical_json(parts).encode())[:32]


class Remote:
    """One host. `retry_s` are the waits before each attempt to take up a lost link again."""

    def __init__(
        self,
        host: SshHost,
        progress: Progress = SILENT,
        *,
        retry_s: Sequence[float] = RETRY_SECONDS,
    ) -> None:
        self.host = host
        self._progress = progress
        self._retry_s = tuple(retry_s)
        self._link: Link | None = None
        self._asked = self._started = self._cancelled = False
        self._offset = 0
        self._failures = 0

    def run(self, call: Call) -> dict[str, bytes]:
        """Make the call and bring its results back, by name.

        Errors of the far edgeanim are raised here as what they are, with the host's name.
        `DeviceFailed` if the host cannot be reached, or not any more: then the run goes on there.
        """
        self._asked = self._started = False
        self._offset = self._failures = 0
        while True:
            try:
                with open_link(self.host, self._opened) as link:
                    if not self._started:
                        self._start(link, call)
                    return self._finish(link, call, self._follow(link, call))
            except (LinkLost, Unreachable) as error:
                self._wait_or_give_up(error)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise DeviceFailed(
                    "Its answer cannot be understood.", where=self.host.label
                ) from error

    def stop(self, call: Call) -> None:
        """End the run there and remove it. May be called while another thread is in `run`. A host
        that is out of reach is told of, no error: there may be others to stop."""
        self._cancelled = True
        if self._link is not None:
            self._link.cut()
        if not self._asked:
            return
        self._progress.stage(f"{self.host.label}: end the run")
        try:
            with open_link(self.host) as link:
                link.ask("stop", run=call.id)
                link.ask("drop", run=call.id, anyway=True)
        except DeviceFailed as error:
            self._progress.done(f"{error.what} The run goes on there.")
        else:
            self._progress.done()

    def _opened(self, link: Link) -> None:
        self._link = link
        if self._cancelled:  # while no link was there to be cut
            raise LinkLost("The run was ended.", where=self.host.label)

    def _start(self, link: Link, call: Call) -> None:
        label = self.host.label
        self._progress.stage(f"{label}: connect and push")
        answer = link.ask("probe", modules=asked_modules())
        found = parse(Found, answer, where=label)
        if (error := lacking(found, call.backends, where=label)) is not None:
            raise error
        code = call.code
        sent = _push(link, code.contents() | call.files.contents())
        link.ask("lay", tree=code.digest, files=dict(code.digests))
        self._asked = True  # before: it may begin there though its answer never comes
        state = link.ask(
            "start",
            run=call.id,
            tree=code.digest,
            files=dict(call.files.digests),
            module=MODULE,
            call={"function": call.function, "options": to_plain(call.options)},
        )
        self._started = True
        note = f"{sent / 1e6:.1f} MB pushed"
        if state["state"] != "started":
            # Added, since a far time beyond all calendars is then an `OverflowError`.
            since = datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=state["began"])
            now = on_a_line(str(state["state"]))
            note = f"picked up the run that began at {since.astimezone():{_WHEN}} ({now})"
        self._progress.done(note)

    def _follow(self, link: Link, call: Call) -> dict[str, Any]:
        link.tell("follow", run=call.id, offset=self._offset)
        while "done" not in (answer := link.answer()):
            self._failures = 0
            for line in str(answer["log"]).splitlines():
                _show(line, self._progress, self.host.label)
            self._offset = int(answer["offset"])
        return answer

    def _finish(self, link: Link, call: Call, end: Mapping[str, Any]) -> dict[str, bytes]:
        done, label = end["done"], self.host.label
        if not isinstance(done, dict):
            _drop(link, call)
            last = " | ".join(str(end["tail"]).splitlines()[-3:]) or "it said nothing"
            what = f"The run ended there without a result: {on_a_line(last)}."
            raise DeviceFailed(what, where=label)
        if done.get("error"):
            _drop(link, call)
            if not isinstance(done["error"], dict):
                raise TypeError("an error is a table")
            raise _rebuilt(done["error"], label)
        results = {}
        for name in call.results:
            link.tell("fetch", run=call.id, name=name)
            head = link.answer()
            if not 0 <= int(head["size"]) <= _MAX_RESULT_BYTES:
                raise BadInput(f"{name} is larger than 64 MiB.", where=label)
            results[name] = link.receive(int(head["size"]), str(head["sha256"]))
            link.answer()
        _drop(link, call)
        return results

    def _wait_or_give_up(self, error: DeviceFailed) -> None:
        if self._cancelled or (not self._started and isinstance(error, Unreachable)):
            raise error
        if self._failures >= len(self._retry_s):
            goes_on = " The run goes on there." if self._started else ""
            raise DeviceFailed(
                f"The link was lost and did not come back.{goes_on}",
                where=self.host.label,
                hint="Run the same command again to pick it up.",
            ) from error
        time.sleep(self._retry_s[self._failures])
        self._failures += 1


Connect = Callable[[SshHost, Progress], Remote]
"""How a host is reached; a test may put something else in its place."""


def new_nonce() -> str:
    """A `nonce` like no other."""
    return secrets.token_hex(8)


@contextmanager
def ended_with_us(remotes: Collection[Remote], call: Call) -> Iterator[None]:
    """Around the runs of `call`: Ctrl-C and a plain `kill` (see `cli.main`) end them as well, so
    that no board stays busy for nobody. A closed terminal does not: it is as a lost link."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        if end.args != (128 + signal.SIGHUP,):
            with clearing_away():
                for remote in remotes:
                    remote.stop(call)
        raise


def _drop(link: Link, call: Call) -> None:
    """Remove the run there. What it gave is here, and no worse if the link breaks meanwhile."""
    with suppress(DeviceFailed):
        link.ask("drop", run=call.id)


def _push(link: Link, contents: Mapping[str, Path]) -> int:
    """Send the contents that are not there; the number of bytes sent."""
    absent = set(link.ask("missing", digests=list(contents))["missing"])
    files = [(digest, contents[digest]) for digest in contents if digest in absent]
    if not files:
        return 0
    sizes = [path.stat().st_size for _, path in files]
    announced = [[digest, size] for (digest, _), size in zip(files, sizes, strict=True)]
    link.ask("put", files=announced)
    for (digest, path), size in zip(files, sizes, strict=True):
        _send(link, path, digest, size)
    link.answer()
    return sum(sizes)


def _send(link: Link, path: Path, digest: str, left: int) -> None:
    seen = hashlib.sha256()
    with path.open("rb") as stream:
        while left and (piece := stream.read(min(left, _CHUNK))):
            link.send(piece)
            seen.update(piece)
            left -= len(piece)
    if seen.hexdigest() != digest:
        raise BadInput("This file changed while it was pushed.", where=path, hint="Run it again.")


def _show(line: str, progress: Progress, label: str) -> None:
    """One line of the far progress, shown here."""
    event = parse_json(line, where=label)
    if not isinstance(event, dict):
        return
    if "stage" in event:
        total = event.get("total")
        title = on_a_line(str(event["stage"]))
        progress.stage(f"{label}: {title}", total if isinstance(total, int) else None)
    elif "step" in event:
        progress.step(int(event["step"]), on_a_line(str(event.get("note", ""))))
    elif "done" in event:
        progress.done(on_a_line(str(event["done"])))


def _rebuilt(record: Mapping[str, Any], label: str) -> EdgeanimError:
    """The far end's error as one of ours, of the class that it names."""
    cls = getattr(errors, str(record.get("class")), DeviceFailed)
    if not (isinstance(cls, type) and issubclass(cls, EdgeanimError)):
        cls = DeviceFailed
    given = {key: on_a_line(str(value)) for key, value in record.items() if value is not None}
    place = ": ".join(part for part in (label, given.get("where")) if part)
    what = given.get("what", "It failed.")
    if issubclass(cls, MissingComponent):
        error: EdgeanimError = cls(what, extra=given.get("extra", ""), where=place)
    else:
        error = cls(what, where=place)
    error.hint = given.get("hint")
    return error
