"""What a user reads beside the bar while one step of it lasts."""

from __future__ import annotations

from edgeanim.core.progress import Silent


class Notes(Silent):
    """Progress that remembers the notes of its steps, and how many steps there were."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.count = 0

    def step(self, count: int = 1, note: str = "") -> None:
        self.notes.append(note)
        self.count += count
