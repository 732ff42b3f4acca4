"""What ships with the package: the trained animator, a still and motion tracks made by us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from edgeanim.core.errors import UsageError
from edgeanim.core.parsing import nearest

WEIGHTS = "animator.safetensors"
ARCHITECTURE = "animator.toml"
STILL = "still.png"
SHIPPED = "shipped"
"""Stands for the animator that comes with the package, wherever a model may stand."""
_FOLDER = "shipped"


def is_shipped(name: str | Path) -> bool:
    """Whether `name` means the shipped animator; a file or folder of the user's own goes first."""
    return str(name) == SHIPPED and not Path(name).exists()


@contextmanager
def shipped(name: str) -> Iterator[Path]:
    """A shipped file by name, as a path that is valid inside the block.

    `UsageError` names the nearest one if there is no such file.
    """
    folder = resources.files(__package__).joinpath(_FOLDER)
    if name not in shipped_names():
        raise UsageError(
            f"Nothing called {name!r} is shipped.", hint=nearest(name, shipped_names())
        )
    with resources.as_file(folder.joinpath(name)) as path:
        yield path


def shipped_names() -> tuple[str, ...]:
    """The names of all shipped files."""
    folder = resources.files(__package__).joinpath(_FOLDER)
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_file()))


def shipped_tracks() -> tuple[str, ...]:
    """The shipped motion tracks without their suffix: `shipped(name + ".npz")` opens one."""
    return tuple(name[: -len(".npz")] for name in shipped_names() if name.endswith(".npz"))
