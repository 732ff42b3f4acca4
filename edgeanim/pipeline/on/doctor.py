"""`edgeanim doctor --on`: the same check, on another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import parse, parse_json
from edgeanim.core.progress import SILENT, Progress
from edgeanim.pipeline.on.far_end import ANSWER
from edgeanim.targets.on.payload import Payload
from edgeanim.targets.on.places import Local, SshHost, parse_place
from edgeanim.targets.on.remote import Call, Connect, Remote, new_nonce

if TYPE_CHECKING:
    from edgeanim.targets.doctor import Diagnosis


def doctor_on(on: str, *, progress: Progress = SILENT, connect: Connect = Remote) -> Diagnosis:
    """`doctor` on the machine `on`: `ssh://[user@]host[:port]`, or `local`. `UsageError` for an
    emulated one."""
    from edgeanim.targets.doctor import Diagnosis, diagnose

    place = parse_place(on)
    if isinstance(place, Local):
        return diagnose()
    if not isinstance(place, SshHost):
        raise UsageError("Emulation has a check of its own.", hint="See `edgeanim emulate --help`.")
    call = Call("doctor", {}, Payload.of({}), (), (ANSWER,), nonce=new_nonce())
    text = connect(place, progress).run(call)[ANSWER].decode("utf-8", errors="replace")
    return parse(Diagnosis, parse_json(text, where=place.label), where=place.label)
