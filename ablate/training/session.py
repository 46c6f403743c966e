"""What the runs of one command share in a process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ablate.config.settings import Config
from ablate.display import Sweep
from ablate.recipe.data.corpus import drawing_seed
from ablate.record.tracking import Server

if TYPE_CHECKING:
    from ablate.recipe.data.table import FrameTable

_OF_A_WINDOW = "context"  # the one key of a corpus that its table does not depend on


def _memory() -> int:
    import psutil

    return psutil.virtual_memory().total


class Tables:
    """The normalized tables of the latest runs, as many as fit into so many bytes, or a quarter of the memory."""

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most_bytes = most_bytes
        self._made: dict[str, tuple[FrameTable, FrameTable]] = {}

    def get(
        self, config: Config, fingerprint: str, make: Callable[[], tuple[FrameTable, FrameTable]]
    ) -> tuple[FrameTable, FrameTable]:
        """The training and validation tables of a config, made unless a run with the same data has been before."""
        data = {key: value for key, value in config["data"].items() if key != _OF_A_WINDOW}
        seed = drawing_seed(data["fraction"], config["seed"])
        name = json.dumps([data, fingerprint, config["normalization"], config["output_dir"], seed], sort_keys=True)
        found = self._made.pop(name, None)
        if not found:
            self._make_room()
            found = make()
        self._made[name] = found
        return found

    def _make_room(self) -> None:
        """Let go of the oldest until one more of the largest would fit."""
        while self._made:
            sizes = [sum(table.nbytes for table in tables) for tables in self._made.values()]
            if sum(sizes) + max(sizes) <= (self._most_bytes or _memory() // 4):
                return
            del self._made[next(iter(self._made))]


@dataclass
class Session:
    """Made by each command, so that nothing of it outlives the command; a run sent elsewhere finds a new one there."""

    tables: Tables = field(default_factory=Tables)
    server: Server = field(default_factory=Server)
    sweep: Sweep | None = None  # the bar under which runs show theirs

    def __reduce__(self) -> tuple[type[Session], tuple[()]]:
        return Session, ()
