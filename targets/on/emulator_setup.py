"""Fetching what emulation needs: QEMU's user mode, a board's userland, and the board's own wheels.

Only when asked, and only after saying what. By the system's own package manager (`apt-get` and
`dpkg-deb`, from the sources that this machine is configured for, checked by its keys) and by pip;
nothing is installed on this machine, no rights are needed, all goes into one folder.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeanim.core.errors import DeviceFailed, MissingComponent
from edgeanim.core.files import atomic_folder
from edgeanim.core.interruption import note_kept
from edgeanim.core.progress import SILENT, Progress
from edgeanim.core.requirements import MODULES
from edgeanim.core.scratch import scratch_folder
from edgeanim.targets.on.emulator import Processor, default_folder, find_python, find_qemu
from edgeanim.targets.on.needs import requirement_of_base, requirement_of_extra

_QEMU_PACKAGE = "qemu-user-static"
# What Python and the runtimes' wheels load; the rest comes with them.
_USERLAND = ("base-files", "coreutils", "dash", "libgomp1", "libstdc++6", "python3")
_DEBIAN_ARCH = {"aarch64": "arm64", "x86_64": "amd64"}
_LEFT_OUT = ("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*")
_SOURCES = ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list")
_GLIBC_OF_WHEELS = (36, 35, 34, 31, 28, 27, 26, 17)


@dataclass(frozen=True)
class Step:
    """One thing that is not there yet: what it is, about how many MB, and from where."""

    what: str
    megabytes: int
    source: str


def plan(processor: Processor, folder: Path | None = None) -> tuple[Step, ...]:
    """What would have to be fetched to emulate `processor`; empty if all is there."""
    folder = folder or default_folder()
    steps = []
    if find_qemu(processor, folder) is None:
        steps.append(Step("QEMU's user-mode emulators", 63, f"apt package {_QEMU_PACKAGE}"))
    if processor.arch != "x86_64":
        if find_python(folder / processor.arch) is None:
            steps.append(Step(f"an {processor.arch} userland with Python", 20, "apt packages"))
        if not (folder / "site").is_dir():
            steps.append(Step(f"the {processor.arch} wheels of all runtimes", 150, "pip"))
    return tuple(steps)


def set_up(processor: Processor, folder: Path | None = None, progress: Progress = SILENT) -> Path:
    """Fetch what `plan` lists. Each part appears whole or not at all; a second run goes on.

    `MissingComponent` where apt-get, dpkg-deb or pip is absent; `DeviceFailed` with their own words
    if they fail.
    """
    folder = folder or default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if find_qemu(processor, folder) is None:
        progress.stage("Fetch QEMU")
        _fetch_qemu(folder)
        note_kept()
        progress.done()
    if processor.arch == "x86_64":
        return folder
    userland = folder / processor.arch
    if find_python(userland) is None:
        progress.stage(f"Fetch the {processor.arch} userland")
        with atomic_folder(userland) as partial:
            _fetch_userland(partial, _DEBIAN_ARCH[processor.arch])
        note_kept()
        progress.done()
    if not (folder / "site").is_dir():
        progress.stage(f"Fetch the {processor.arch} wheels")
        python = find_python(userland)
        if python is None:
            raise DeviceFailed("The userland has no Python.", where=userland)
        with atomic_folder(folder / "site") as partial:
            _run(wheel_command(processor.arch, python.name.removeprefix("python"), partial))
        progress.done()
    return folder


def wheel_command(arch: str, python: str, target: Path) -> list[str]:
    """The pip command that puts the wheels of all runtimes for `arch` and `python` into `target`.

    A wheel is chosen as a board's own pip does: by its platform tags, and never built.
    """
    wanted = [requirement_of_base(name) for name in MODULES]
    for extra in ("onnxruntime", "openvino", "tflite"):
        wanted += [line for line in (requirement_of_extra(extra),) if line]
    tags = [f"manylinux_2_{minor}_{arch}" for minor in _GLIBC_OF_WHEELS] + [f"manylinux2014_{arch}"]
    platforms = [part for tag in tags for part in ("--platform", tag)]
    abis = [f"cp{python.replace('.', '')}", "abi3", "none"]
    return [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--no-compile", "--only-binary=:all:", "--python-version", python,
        "--implementation", "cp", *(part for abi in abis for part in ("--abi", abi)),
        *platforms, "--target", str(target), *wanted,
    ]  # fmt: skip


def _fetch_qemu(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as scratch:
        _download(_QEMU_PACKAGE, Path(scratch))
        (package,) = Path(scratch).glob("*.deb")
        _extract(package, Path(scratch) / "root")
        for name in ("qemu-aarch64-static", "qemu-x86_64-static"):
            (Path(scratch) / "root/usr/bin" / name).replace(folder / name)


def _download(package: str, into: Path) -> None:
    """One package for this machine. A fresh one may have no lists of what there is: then by lists
    of our own."""
    apt = _tool("apt-get")
    try:
        _run([apt, "download", "-q", package], cwd=into)
    except DeviceFailed:
        with _private_apt(_DEBIAN_ARCH.get(platform.machine(), platform.machine())) as options:
            _run([apt, *options, "update", "-q"])
            _run([apt, *options, "download", "-q", package], cwd=into)


def _fetch_userland(target: Path, arch: str) -> None:
    with _private_apt(arch) as options:
        archives = Path(next(o for o in options if o.startswith("Dir::Cache=")).partition("=")[2])
        apt = _tool("apt-get")
        _run([apt, *options, "update", "-q"])
        _run([apt, *options, "install", "-yq", "--download-only", *_USERLAND])
        for package in sorted((archives / "archives").glob("*.deb")):
            _extract(package, target)
    # What is there shadows this machine's: its devices and its kernel's files must not.
    for name in ("dev", "proc", "sys", "run", "tmp"):
        shutil.rmtree(target / name, ignore_errors=True)


@contextmanager
def _private_apt(arch: str) -> Iterator[list[str]]:
    """Options for an apt of another architecture that leaves this machine's own state alone."""
    sources = next((path for path in _SOURCES if Path(path).is_file()), None)
    if sources is None:
        raise DeviceFailed("apt has no sources on this machine.", hint=_BY_HAND)
    with scratch_folder("apt") as scratch:
        state, cache = scratch / "state", scratch / "cache"
        (state / "lists" / "partial").mkdir(parents=True)
        (cache / "archives" / "partial").mkdir(parents=True)
        (state / "status").touch()
        settings = {
            "Dir::State": state,
            "Dir::State::status": state / "status",
            "Dir::Cache": cache,
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "-",
            "APT::Architecture": arch,
            "APT::Architectures": arch,
            "APT::Install-Recommends": "false",
            **({"APT::Sandbox::User": "root"} if os.geteuid() == 0 else {}),
        }
        yield [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


_BY_HAND = (
    "Set it up on a Debian machine, or give a folder that has it: `--root DIR` with "
    "qemu-ARCH-static, ARCH/ (a userland with Python) and site/ (the wheels)."
)


def _extract(package: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    archive = package.with_suffix(".tar")
    with archive.open("wb") as stream:
        _run([_tool("dpkg-deb"), "--fsys-tarfile", str(package)], stdout=stream)
    left_out = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
    _run([_tool("tar"), "-xf", str(archive), "-C", str(target), "--no-same-owner", *left_out])
    archive.unlink()


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        error = MissingComponent(f"There is no {name} on this machine.", extra="")
        error.hint = _BY_HAND
        raise error
    return found


def _run(command: Sequence[str], *, cwd: Path | None = None, stdout: object = None) -> None:
    sink = stdout if stdout is not None else subprocess.DEVNULL
    done = subprocess.run(command, cwd=cwd, stdout=sink, stderr=subprocess.PIPE, check=False)  # type: ignore[call-overload]
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        told = [line for line in lines if re.match(r"(E|ERROR|error)\b", line)] or lines[-1:]
        name = Path(command[0]).name if "pip" not in command else "pip"
        raise DeviceFailed(f"{name} failed: {' '.join(told[:2])}", hint=_BY_HAND)
