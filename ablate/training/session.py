"""What the runs of one command share in a process."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ablate.config.settings import Config
from ablate.display import Sweep
from ablate.recipe.data.corpus import drawing_seed
from ablate.record.dispatch import Dispatch

if TYPE_CHECKING:
    from ablate.recipe.data.table import FrameTable
    from ablate.record.tracking import Server

_NOT_OF_A_TABLE = ("context", "device_budget")  # the keys of a corpus that its table does not depend on


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
        data = {key: value for key, value in config["data"].items() if key not in _NOT_OF_A_TABLE}
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


def _server() -> Server:
    from ablate.record.tracking import Server

    return Server()


@dataclass
class Session:
    """Made by each command, so that nothing of it outlives the command; a run sent elsewhere finds a new one there."""

    tables: Tables = field(default_factory=Tables)
    server: Server = field(default_factory=_server)
    sweep: Sweep | None = None  # the bar under which runs show theirs
    dispatch: Dispatch | None = None  # of runs that are launched all at once, here or elsewhere
    gpus: Sequence[str] = ()  # to be dealt out among processes of this machine
    fail_fast: bool = False
    is_elsewhere: bool = False

    def is_called_off(self) -> bool:
        """Whether the command no longer wants its runs."""
        return self.dispatch is not None and not self.dispatch.is_wanted()

    @property
    def signals(self) -> tuple[signal.Signals, ...]:
        """Those that ask a run to stop: a terminal's Ctrl-C reaches all, but is for the command that has sent them."""
        return (signal.SIGTERM,) if self.is_elsewhere else (signal.SIGINT, signal.SIGTERM)

    def __reduce__(self) -> tuple[Callable[..., Session], tuple[object, ...]]:
        return _elsewhere, (self.dispatch, tuple(self.gpus), self.fail_fast)


def _elsewhere(dispatch: Dispatch | None, gpus: Sequence[str], fail_fast: bool) -> Session:
    return Session(dispatch=dispatch, gpus=gpus, fail_fast=fail_fast, is_elsewhere=True)
