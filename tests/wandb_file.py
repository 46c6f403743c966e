"""Reads what an offline run wrote, since wandb 0.31 has no reader of its own.

A `.wandb` file is a 7-byte header, then blocks of 32 KiB as LevelDB's log has them: fragments of a record, each with
a checksum (4 bytes), a length (2), and a kind (1: whole, 2: first, 3: middle, 4: last). A record is a protobuf.
"""

import json
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

_HEADER, _BLOCK, _FRAGMENT = 7, 32768, 7


@dataclass
class OfflineRun:
    """What a run sent, had it been online."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The rows of the history that are of an epoch."""
        return [row for row in self.history if "epoch" in row]


def read(folder: Path) -> OfflineRun:
    """The run of an `offline-run-*` folder, once its end is written: wandb's own process writes it, in its own time."""
    deadline = time.monotonic() + 30
    while (run := _read(folder)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return run


def _read(folder: Path) -> OfflineRun:
    (file,) = folder.glob("*.wandb")
    result = OfflineRun()
    for body in _bodies(file.read_bytes()):
        record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
        record.ParseFromString(body)
        match record.WhichOneof("record_type"):
            case "run":
                result.run = record.run
                result.config |= _values(record.run.config.update)
            case "config":
                result.config |= _values(record.config.update)
            case "history":
                result.history.append(_values(record.history.item))
            case "summary":
                result.summary |= _values(record.summary.update)
            case "exit":
                result.exit_code = record.exit.exit_code
    return result


def _bodies(content: bytes) -> Iterator[bytes]:
    position, parts = _HEADER, b""
    while position + _FRAGMENT <= len(content):
        left = _BLOCK - position % _BLOCK
        if left < _FRAGMENT:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + _FRAGMENT])
        parts += content[position + _FRAGMENT : position + _FRAGMENT + length]
        position += _FRAGMENT + length
        if kind in (1, 4):
            yield parts
            parts = b""


def _values(items: Iterable[Any]) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
