"""Processors that can be emulated here, and how a Python process is started on one.

An emulated process shows whether the wheels of a board install, load and compute what they should.
It says nothing of time: it is slower by two orders of magnitude, and unevenly so.

QEMU's user mode runs one process; what that process starts runs on *this* machine's processor, and
natively. So each emulated worker is started from here, never from within.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edgeanim.core.errors import DeviceFailed, MissingComponent, UsageError
from edgeanim.core.files import atomic_folder
from edgeanim.core.parsing import nearest
from edgeanim.core.store import default_root
from edgeanim.core.threads import thread_settings
from edgeanim.targets.board import Board, load_shipped_board
from edgeanim.targets.on.payload import runtime

_BOOT_SECONDS = 120


@dataclass(frozen=True)
class Processor:
    """A processor by the name that `emulated:NAME` takes.

    `model` is QEMU's name of it, `board` the TOML whose settings are used. `implementer`, `part`
    and `revision` are what an Arm kernel tells in `/proc/cpuinfo`, by which runtimes choose their
    kernels: with another processor's figures they die of an illegal instruction or of worse.
    """

    name: str
    title: str
    board: str
    model: str
    implementer: int = 0
    variant: int = 0
    part: int = 0
    revision: int = 0

    @property
    def arch(self) -> str:
        """As the board's file has it."""
        return self.load_board().arch

    def load_board(self) -> Board:
        """The board whose backends and settings are used."""
        return load_shipped_board(self.board)

    def cpuinfo(self) -> str:
        """`/proc/cpuinfo` as an Arm kernel writes it for this processor."""
        board = self.load_board()
        fields = {
            "BogoMIPS": "108.00",
            "Features": " ".join(board.cpu_features),
            "CPU implementer": f"0x{self.implementer:02x}",
            "CPU architecture": "8",
            "CPU variant": f"0x{self.variant:x}",
            "CPU part": f"0x{self.part:03x}",
            "CPU revision": str(self.revision),
        }
        shown = "".join(f"{key}\t: {value}\n" for key, value in fields.items())
        cores = "".join(f"processor\t: {core}\n{shown}\n" for core in range(board.cores))
        return f"{cores}Model\t\t: {board.title}\n"


_ARM = 0x41
PROCESSORS = {
    processor.name: processor
    for processor in (
        Processor("haswell", "Intel Haswell (AVX2, no VNNI)", "x86-avx2", "Haswell"),
        Processor(
            "raspberry-pi-4", "Cortex-A72", "raspberry-pi-4", "cortex-a72", _ARM, 0, 0xD08, 3
        ),
        Processor(
            "raspberry-pi-5", "Cortex-A76", "raspberry-pi-5", "cortex-a76", _ARM, 4, 0xD0B, 1
        ),
    )
}


@dataclass(frozen=True)
class Emulator:
    """Everything in place to start a Python process on `processor`. `userland` is the board's own
    file system, `None` where this machine's serves; `path` is where its Python looks for modules:
    edgeanim's own code, and the board's wheels."""

    processor: Processor
    qemu: Path
    python: Path
    userland: Path | None
    path: tuple[Path, ...]

    def command(self, *arguments: str) -> tuple[str, ...]:
        """The command line that runs Python with `arguments` there, with a clean environment."""
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "PYTHONPATH": ":".join(map(str, self.path)),
            **thread_settings(1),
        }
        below = ("-L", str(self.userland)) if self.userland is not None else ()
        return (
            "/usr/bin/env", "-i", *(f"{key}={value}" for key, value in environment.items()),
            str(self.qemu), "-cpu", self.processor.model, *below, str(self.python), *arguments,
        )  # fmt: skip


def get_processor(name: str) -> Processor:
    """The processor called `name`; `UsageError` names the nearest."""
    if name not in PROCESSORS:
        raise UsageError(f"{name!r} cannot be emulated.", hint=nearest(name, list(PROCESSORS)))
    return PROCESSORS[name]


def default_folder() -> Path:
    """Where `edgeanim emulate setup` puts what it fetches."""
    return default_root() / "emulation"


def find_emulator(name: str, folder: Path | None = None) -> Emulator:
    """What is set up for the processor `name` below `folder`.

    `MissingComponent` says how to set up what is not there; nothing is fetched here.
    """
    processor = get_processor(name)
    # Workers run in folders of their own.
    folder = (folder or default_folder()).absolute()
    qemu = find_qemu(processor, folder)
    if qemu is None:
        raise not_set_up(f"There is no QEMU for {processor.arch} with a {processor.model}.", name)
    if processor.arch == "x86_64":
        return Emulator(processor, qemu, Path(sys.executable), None, _own_path())
    python = find_python(folder / processor.arch)
    if python is None or not (folder / "site").is_dir():
        raise not_set_up(f"There is no {processor.arch} userland in {folder}.", name)
    userland = _userland(processor, folder)
    python = userland / python.relative_to(folder / processor.arch)
    return Emulator(processor, qemu, python, userland, (lay_out_code(folder), folder / "site"))


def find_qemu(processor: Processor, folder: Path) -> Path | None:
    """A QEMU for `processor` in `folder` or on the path, one that knows its model."""
    static, plain = (f"qemu-{processor.arch}{end}" for end in ("-static", ""))
    for place in (folder / static, *(shutil.which(name) for name in (static, plain))):
        if place is None or not Path(place).is_file():
            continue
        qemu = Path(place).absolute()
        try:
            listed = subprocess.run(
                [qemu, "-cpu", "help"], capture_output=True, text=True, check=False
            )
        except OSError:  # it may not be run, or is of another machine
            continue
        if re.search(rf"\b{re.escape(processor.model)}\b", listed.stdout):
            return qemu
    return None


def find_python(userland: Path) -> Path | None:
    """The userland's newest Python, by its full version."""
    versions = {
        int(path.name.removeprefix("python3.")): path
        for path in (userland / "usr/bin").glob("python3.*")
        if re.fullmatch(r"python3\.[0-9]+", path.name)
    }
    return versions[max(versions)] if versions else None


def boot(emulator: Emulator) -> str:
    """Start Python there and return its machine and version; `DeviceFailed` if it does not."""
    code = "import platform, numpy; print(platform.machine(), platform.python_version())"
    try:
        done = subprocess.run(
            emulator.command("-c", code),
            capture_output=True, text=True, timeout=_BOOT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DeviceFailed("The emulated Python did not start.", where=emulator.qemu) from error
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise DeviceFailed(f"The emulated Python does not start: {said}", where=emulator.qemu)
    return done.stdout.strip()


def lay_out_code(folder: Path) -> Path:
    """edgeanim's own code in a folder of its own: beside it must lie nothing of this machine's."""
    code = runtime()
    target = folder / "code" / code.digest[:32]
    if not target.is_dir():
        with atomic_folder(target) as partial:
            for name, path in code.files.items():
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, partial / name)
    return target


def _own_path() -> tuple[Path, ...]:
    """Where this process has edgeanim from, if not from its installation."""
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return tuple(Path(place).absolute() for place in places if place)


def _userland(processor: Processor, folder: Path) -> Path:
    """The common userland as this processor's machine shows it, with its own `/proc/cpuinfo`.

    A folder of its own for each, so that two can be emulated at the same time.
    """
    target = folder / f"{processor.arch}-{processor.name}"
    text = processor.cpuinfo()
    info = target / "proc" / "cpuinfo"
    if not info.is_file() or info.read_text() != text:
        with atomic_folder(target) as partial:
            (partial / "proc").mkdir()
            (partial / "proc" / "cpuinfo").write_text(text)
            for name in ("bin", "etc", "lib", "usr"):
                (partial / name).symlink_to(Path("..") / processor.arch / name)
    return target


def not_set_up(what: str, name: str) -> MissingComponent:
    """The error that says how to set up the processor `name`."""
    error = MissingComponent(what, extra="")
    error.hint = f"Set it up with: edgeanim emulate setup {name}"
    return error
