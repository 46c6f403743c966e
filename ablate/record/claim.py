"""Cells that members take as they go: claims in a folder that all of them see, such as one on a shared disk.

Each cell has a chain of entries, `cells/<key>/1.json`, `2.json`, ...: it was claimed, it was freed, it has ended.
Whoever wants to change a cell's state creates the next entry, which a disk lets one of several do. No entry is ever
changed or removed, so a member that comes back from a long sleep sees that its claim has been freed since, and its
result never counts beside the result of who took over.

An owner shows that it lives by a counter beside its claim. Others watch whether that moves, each by its own clock:
clocks need not agree.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ablate.error import BusyError, UserError
from ablate.file import read_plain, write_atomically
from ablate.quantity.valid import valid_json
from ablate.record import layout, reading
from ablate.record.layout import Layout
from ablate.record.lease import Owner

BEAT_SECONDS = 30
SILENCE_SECONDS = 300
"""After so long without a sign of its owner a claim is freed; a disk that syncs late shows signs late."""

_MOST_BYTES = 1 << 23  # of an entry: one with a result
_SMALL_FILES = (layout.CONFIG, layout.ROWS, layout.CONFUSION, layout.UTTERANCES)  # of a record: no weights
_NOBODY = Owner(host="", space="", pid=1, started=0.0, token="")

Kind = Literal["claimed", "freed", "ended"]


@dataclass(frozen=True)
class Entry:
    """A cell's state, who has made it so, and the run's record where it has ended."""

    kind: Kind
    owner: Owner
    member: int | None = None
    result: dict[str, Any] | None = None

    def __str__(self) -> str:
        who = f"member {self.member}, " if self.member else ""
        return f"{who}{self.owner}" if self.owner != _NOBODY else "somebody"


class Claims:
    """The claims in a folder, as one process sees them; `now` is its own clock, in seconds."""

    def __init__(
        self, folder: Path, member: int | None, owner: Owner | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder
        self._member = member
        self._owner = owner or Owner.this()
        self._now = now
        self._seen: dict[Path, tuple[bytes, float]] = {}  # of a claim: the last sign of life, and when it was new
        self._alive: set[Path] = set()  # the claims of which more than one sign was seen

    def last(self, key: str) -> Entry | None:
        """A cell's state; none where nobody has ever claimed it."""
        number = layout.num_claims(self.folder, key)
        return _read(layout.claim(self.folder, key, number)) if number else None

    def is_mine(self, entry: Entry) -> bool:
        """Whether this machine has made an entry."""
        return entry.owner.host == self._owner.host

    def take(self, key: str) -> Claim | None:
        """A claim on a cell; none where it has ended, or another has it."""
        number = layout.num_claims(self.folder, key)
        if number and _read(layout.claim(self.folder, key, number)).kind != "freed":
            return None
        is_taken = self.append(key, number + 1, "claimed")
        return Claim(self, key, number + 1) if is_taken else None

    def free_if_abandoned(self, key: str) -> bool:
        """Free a cell whose owner has ended, or given no sign while this process watched for long; whether it is so."""
        number = layout.num_claims(self.folder, key)
        path = layout.claim(self.folder, key, number)
        if not number or (last := _read(path)).kind != "claimed":
            return False
        is_abandoned = last.owner.is_gone() or self._silence(path) >= SILENCE_SECONDS
        return is_abandoned and self.append(key, number + 1, "freed")

    def is_alive(self, key: str) -> bool:
        """Whether this process knows that the owner of a claim lives: it runs here, or has given a sign meanwhile."""
        path = layout.claim(self.folder, key, layout.num_claims(self.folder, key))
        owner = _read(path).owner
        if owner.is_of_this_machine():
            return not owner.is_gone()
        return self._silence(path) < SILENCE_SECONDS and path in self._alive

    def _silence(self, claim: Path) -> float:
        """For how many seconds this process has watched a claim without a new sign of its owner."""
        sign = read_plain(layout.sign_of_life(claim), _MOST_BYTES) or b""
        if claim not in self._seen or self._seen[claim][0] != sign:
            if claim in self._seen:
                self._alive.add(claim)
            self._seen[claim] = sign, self._now()
        return self._now() - self._seen[claim][1]

    def publish(self, key: str, run: Path | None = None) -> None:
        """Put the record of a cell that has ended where members find it, with the small files of its `run`.

        One that is there and can't be read, of a disk that is damaged or was full, is put there anew.
        """
        last, target = self.last(key), Layout(self.folder).run(key)
        if last is None or last.result is None or _is_record(target):
            return
        for name in _SMALL_FILES:
            if run and (run / name).exists():
                with write_atomically(target / name) as file, (run / name).open("rb") as source:
                    shutil.copyfileobj(source, file)
        with write_atomically(target / layout.RESULT) as file:
            file.write(_text(last.result))

    def append(self, key: str, number: int, kind: Kind, result: Mapping[str, Any] | None = None) -> bool:
        """Make the next entry of a cell's chain; whether nobody else has been faster."""
        entry = Entry(kind, self._owner, self._member, dict(result) if result else None)
        path = layout.claim(self.folder, key, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as file:  # no link of a whole file: some shared disks have none
                file.write(_text(asdict(entry)))
        except FileExistsError:
            return False
        return True


class Claim:
    """A cell that is mine until somebody frees it, since I gave no sign, or it has ended."""

    def __init__(self, claims: Claims, key: str, number: int) -> None:
        self._claims = claims
        self._key = key
        self._number = number
        self._count = 0

    def check(self) -> None:
        """Raise `BusyError` if the cell is no longer mine."""
        if layout.num_claims(self._claims.folder, self._key) > self._number:
            raise BusyError(f"{self._key}: another member has taken this run over; its record will be with the claims")

    def end(self, result: Mapping[str, Any]) -> None:
        """The run has ended so. Raises `BusyError` where somebody has taken it over: that one's result counts."""
        if not self._claims.append(self._key, self._number + 1, "ended", result):
            self.check()

    def free(self) -> None:
        """Leave the run to others, unless it has ended."""
        self._claims.append(self._key, self._number + 1, "freed")

    def give_sign(self) -> None:
        """Show that the owner lives."""
        self._count += 1
        claim = layout.claim(self._claims.folder, self._key, self._number)
        with open(layout.sign_of_life(claim), "wb", opener=_without_waiting) as file:
            file.write(str(self._count).encode())  # whole or not, it is another than before

    @contextlib.contextmanager
    def held(self) -> Iterator[Claim]:
        """A context in which signs are given; the cell is freed at its end unless it has ended."""
        over = threading.Event()

        def give_signs() -> None:
            while not over.wait(BEAT_SECONDS):
                with contextlib.suppress(OSError):  # a disk that is away for a moment
                    self.give_sign()

        self.give_sign()
        signs = threading.Thread(target=give_signs, daemon=True)
        signs.start()
        try:
            yield self
        finally:
            over.set()
            signs.join()
            with contextlib.suppress(OSError):
                self.free()


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe, which somebody has put there, raises `OSError` where it would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _read(path: Path) -> Entry:
    try:
        entry = valid_json(Entry, read_plain(path, _MOST_BYTES) or b"")
        if entry.kind == "ended" and (entry.result or {}).get("key") != path.parent.name:
            raise ValueError("the record of no run, or of another")
        return entry
    except ValueError:  # its writer is at it, or has died at it
        return Entry("claimed", _NOBODY)


def _is_record(run: Path) -> bool:
    try:
        return reading.result(run) is not None
    except UserError:
        return False


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
