"""Batches drawn while the steps before them are taken: by a thread, or by processes of their own.

A thread is enough where a step takes longer than its batch. An accelerator takes steps faster than
one interpreter draws batches; then `workers` processes do. They are forked, so that gigabytes of
material are there at once and once; a spawned process would import PyTorch and be sent all of it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

from torch.utils.data import DataLoader, Dataset

from edgeanim.core.errors import DeviceFailed, EdgeanimError, UsageError, first_line
from edgeanim.core.threads import opencv_threads
from edgeanim.models.training.batches import Batch, Material, draw_batch
from edgeanim.models.training.config import DataConfig, TrainConfig
from edgeanim.models.training.schedule import Step

_PREFETCH = 3
"""Batches that a process draws ahead: of clips and of large pictures, some take longer."""
_LONGEST_FOLDER = 107 - len("/pymp-12345678/listener-12345678")
"""Of a socket's name in bytes, less what Python puts below the folder for temporary files."""


class _Batches(Dataset):  # type: ignore[misc]
    """The batch of each step; what a process needs to draw it."""

    def __init__(
        self, steps: Sequence[Step], config: DataConfig, material: Material, seed: int
    ) -> None:
        self._steps, self._config, self._material, self._seed = steps, config, material, seed

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> Batch:
        step = self._steps[index]
        key = (self._seed, step.number)
        return draw_batch(self._material, self._config, step.size, step.batch, key)


def drawn_ahead(
    steps: Sequence[Step],
    config: TrainConfig,
    material: Material,
    workers: int = 0,
    *,
    pinned: bool = False,
) -> Generator[tuple[Step, Batch], None, None]:
    """Each step with its batch, the same ones whatever the number of `workers`, processes; 0 is a
    thread. They end when this is closed. `pinned` is for an accelerator, and of processes only."""
    batches = _Batches(steps, config.data, material, config.seed)
    drawn = _by_processes(batches, workers, pinned) if workers else _by_a_thread(batches)
    with closing(drawn):
        yield from zip(steps, drawn, strict=True)


def _by_a_thread(batches: _Batches) -> Generator[Batch, None, None]:
    with ThreadPoolExecutor(1) as drawer:
        coming: Future[Batch] | None = None
        for index in range(len(batches)):
            batch = (coming or drawer.submit(batches.__getitem__, index)).result()
            if index + 1 < len(batches):
                coming = drawer.submit(batches.__getitem__, index + 1)
            yield batch


def _by_processes(batches: _Batches, workers: int, pinned: bool) -> Generator[Batch, None, None]:
    # A forked process has none of OpenCV's threads and would wait for them, and those of many
    # processes would fight for the same cores.
    with warnings.catch_warnings(), opencv_threads(1), _signals_kept():
        # That there are more processes than cores is for the user to choose.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        # What draws batches here takes no lock that a thread of JAX (which the converter to TFLite
        # brings) or of PyTorch might hold while the process is forked.
        warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")
        warnings.filterwarnings("ignore", message="This process .* is multi-threaded, use of fork")
        loader: Any = DataLoader(
            _WithErrors(batches),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=_PREFETCH,
            multiprocessing_context="fork",
            pin_memory=pinned,
        )
        coming = iter(loader)  # forks
    try:
        with _reporting_deaths():
            for drawn in coming:
                if isinstance(drawn, EdgeanimError):
                    raise drawn
                yield drawn
    finally:
        # By itself it would end them when the last traceback that leads to it is gone.
        coming._shutdown_workers()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """PyTorch would handle SIGCHLD from its first such process on, for good. Any child that ends
    later would run that handler; on a processor with AMX, on the small stack that faulthandler has
    for signals, that is the end of this process. A death is noticed without it, seconds later."""
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


@contextmanager
def _reporting_deaths() -> Iterator[None]:
    """`DeviceFailed` for a process that is killed."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise DeviceFailed(
            f"A process that draws batches ended: {first_line(error).rstrip('. ')}.",
            hint="Take fewer --workers, or give them more memory; in a container shared memory "
            "(/dev/shm), through which batches go, has a limit of its own.",
        ) from error


def refuse_processes() -> None:
    """`UsageError` where processes cannot be forked, or where no batch of theirs would ever arrive:
    they come through sockets in the folder for temporary files, and a name that is too long for
    one is told to nobody."""
    if "fork" not in multiprocessing.get_all_start_methods():
        raise UsageError(
            "This system cannot fork processes, which --workers needs.",
            hint="Leave --workers out: a thread draws the same batches.",
        )
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        raise UsageError(
            "The name of the folder for temporary files is too long for the sockets of --workers: "
            f"{_LONGEST_FOLDER} bytes are the most.",
            where=folder,
            hint="Set TMPDIR to a shorter one, or leave --workers out.",
        )


class _WithErrors(Dataset):  # type: ignore[misc]
    """Batches, or the error in place of one: raised in a process, it would arrive as a traceback
    in words."""

    def __init__(self, batches: _Batches) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch | EdgeanimError:
        try:
            return self._batches[index]
        except EdgeanimError as error:
            return error
