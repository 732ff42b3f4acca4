"""Which files a path means of which frames are asked for: itself, or what is in or below it."""

from __future__ import annotations

from pathlib import Path

from edgeanim.runtime.media import clips_in, files_below, files_read, is_clip, is_still, pictures_in

# As `models.dataset.form` has it, which takes longer to import than most folders to look at.
_DATASET = "dataset.json"


def clips_of(path: Path) -> list[Path]:
    """The clips that `path` means: itself, the sequences of an `edgeanim dataset`, each a folder of
    frames, or the clips of a folder, or of those below one without pictures or clips of its own."""
    if path.is_file():
        return [path]
    if _is_dataset(path):
        return _sequences(path)
    return clips_in(path) or list(filter(is_clip, _below(path)))


def pictures_of(folder: Path) -> list[Path]:
    """The pictures of a folder, or of those below one without pictures or clips of its own; of an
    `edgeanim dataset` its frames, and no masks. `BadInput` if there are none."""
    if _is_dataset(folder):
        return [picture for frames in _sequences(folder) for picture in pictures_in(frames)]
    return list(filter(is_still, _below(folder))) or pictures_in(folder)


def _is_dataset(path: Path) -> bool:
    return (path / _DATASET).is_file()


def _sequences(dataset: Path) -> list[Path]:
    from edgeanim.models.dataset.form import frame_folders

    return frame_folders(dataset)


def _below(folder: Path) -> list[Path]:
    """All media in the folders below, as sets are kept that are sorted by class or by day, unless
    the folder itself holds some."""
    itself, *within = files_read(folder)
    return [] if within else files_below(itself)
