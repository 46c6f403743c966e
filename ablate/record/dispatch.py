"""What a command has asked of other processes: whether it still wants it, and what they tell it.

A folder that all of them see, whoever started them: on a shared disk that may be a cluster's nodes.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ablate.file import read_plain, write_atomically
from ablate.quantity.valid import valid_json
from ablate.record import layout
from ablate.record.layout import Layout

_MOST_BYTES = 100_000  # of a message


Kind = Literal["begun", "said", "ended", "failed"]


@dataclass(frozen=True)
class Message:
    """A word on a run: it has begun, a line for who watches, the line that it has ended with, it has failed."""

    kind: Kind
    key: str
    text: str


class Dispatch:
    """What one command has asked of others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: set[str] = set()

    @staticmethod
    def of(places: Layout, study: str) -> Dispatch:
        """A new one of a study; those who are asked may stand in another folder."""
        return Dispatch(layout.dispatch(places.study(study), uuid.uuid4().hex).resolve())

    def __enter__(self) -> Dispatch:
        """From now on the runs are wanted, while the context is open."""
        self.folder.mkdir(parents=True)
        layout.wanted(self.folder).touch()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another command's
            self.folder.parent.rmdir()

    def is_wanted(self) -> bool:
        """Whether runs may begin, and go on."""
        return layout.wanted(self.folder).exists()

    def call_off(self) -> None:
        """Nothing is begun from now on, and what trains stops after its epoch."""
        layout.wanted(self.folder).unlink(missing_ok=True)

    def tell(self, message: Message) -> None:
        """Let the command know, if it still listens."""
        with contextlib.suppress(OSError):
            if self.folder.is_dir():
                # Their names sort by time, as far as clocks agree.
                with write_atomically(layout.message(self.folder, f"{time.time_ns()}-{uuid.uuid4().hex}")) as file:
                    file.write(json.dumps(asdict(message)).encode())

    def news(self) -> Iterator[Message]:
        """What has been told since the last time."""
        for path in layout.messages(self.folder):
            if path.name not in self._seen:
                with contextlib.suppress(ValueError, OSError):  # a disk that shows a name before its file
                    message = valid_json(Message, read_plain(path, _MOST_BYTES) or b"")
                    self._seen.add(path.name)
                    yield message
