"""The far end of a call from elsewhere: `python -m edgeanim.pipeline.on.far_end` in a run's folder.

Reads `call.json` and the files in `in/`, writes its progress to `log.jsonl`, its results beside
them, and last of all `done.json`. Started by `targets/on/stub.py`, which knows nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeanim.core.errors import BadInput, EdgeanimError, MissingComponent, memory_errors
from edgeanim.core.files import canonical_json, write_text
from edgeanim.core.parsing import load_json, to_plain
from edgeanim.core.progress import Progress

INPUT = Path("in")
REPORT, ANSWER = "report.json", "answer.json"
PUSHED = "@"
"""What begins the name of a file that came along, where an option may name something else too."""


class FileProgress:
    """Progress as lines of JSON, for whoever follows the file."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("a", buffering=1, encoding="utf-8")

    def stage(self, title: str, total: int | None = None) -> None:
        """A new piece of work begins."""
        self._say({"stage": title, "total": total})

    def step(self, count: int = 1, note: str = "") -> None:
        """`count` more steps are done."""
        self._say({"step": count, "note": note})

    def done(self, note: str = "") -> None:
        """The piece of work is finished."""
        self._say({"done": note})

    def close(self) -> None:
        """Nothing more will come."""
        self._stream.close()

    def _say(self, event: Mapping[str, object]) -> None:
        self._stream.write(json.dumps(event) + "\n")


def bench_here(options: Mapping[str, Any], progress: Progress) -> None:
    """`api.bench` of the files in `in/`; leaves the report and its pictures."""
    from edgeanim.pipeline.bench import bench
    from edgeanim.pipeline.on.pictures import PICTURES, pack_pictures

    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    given["subjects"] = [INPUT / name for name in given["subjects"]]
    given["inputs"] = {name: INPUT / file for name, file in given["inputs"].items()}
    for name in ("frames", "board"):
        value = str(given.get(name) or "")
        if value.startswith(PUSHED):
            given[name] = INPUT / value.removeprefix(PUSHED)
    report = bench(**given, out=REPORT, progress=progress)
    pack_pictures(report, Path(), Path(PICTURES))


def doctor_here(_options: Mapping[str, Any], progress: Progress) -> None:
    """`api.doctor`; leaves the diagnosis."""
    from edgeanim.pipeline.machine import doctor

    progress.stage("Examine")
    write_text(Path(ANSWER), canonical_json(to_plain(doctor())))
    progress.done()


def install_here(options: Mapping[str, Any], progress: Progress) -> None:
    """Put a bundle and the `edgeanim` command where they stay; leaves what plays and where."""
    from edgeanim.pipeline.on.deploy import install

    installed = install(INPUT / str(options["bundle"]), progress=progress)
    write_text(Path(ANSWER), canonical_json(to_plain(installed)))


FUNCTIONS: Mapping[str, Callable[[Mapping[str, Any], Progress], None]] = {
    "bench": bench_here,
    "doctor": doctor_here,
    "install": install_here,
}


def main() -> None:
    """Make the call in `call.json`."""
    progress = FileProgress(Path("log.jsonl"))
    try:
        call = load_json(Path("call.json"))
        if not isinstance(call, dict) or call.get("function") not in FUNCTIONS:
            raise BadInput("This is not a call.", where="call.json")
        with memory_errors("Out of memory."):
            FUNCTIONS[call["function"]](call["options"], progress)
        record: dict[str, object] = {"error": None}
    except EdgeanimError as error:
        record = {"error": _record(error)}
    finally:
        progress.close()
    write_text(Path("done.json"), canonical_json(record))


def _record(error: EdgeanimError) -> dict[str, object]:
    extra = error.extra if isinstance(error, MissingComponent) else None
    return {
        "class": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "hint": error.hint,
        "extra": extra,
    }


if __name__ == "__main__":
    main()
