"""Checkpoints: all that a training needs to go on as if it had never stopped."""

from __future__ import annotations

import zipfile
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ablate.error import UserError
from ablate.quantity.valid import valid
from ablate.record import layout
from ablate.record.reading import Row, first_problem
from ablate.record.store import RunFolder, Writer
from ablate.training.prepare import Training
from ablate.training.stream import global_random


@dataclass
class Progress:
    """What a training has come to, all that a checkpoint needs beside the state of its parts."""

    rows: list[Row] = field(default_factory=list)
    best_epoch: int = 0  # 0: none yet
    diverged: bool = False

    @property
    def best(self) -> Row:
        """The row of the best epoch so far, the earliest of equals."""
        return self.rows[self.best_epoch - 1]


def save(training: Training, progress: Progress, writer: Writer) -> None:
    """Replace the folder's checkpoint by the training's state after its last whole epoch."""
    content = {"key": writer.folder.key, "progress": asdict(progress)} | {
        name: part.state_dict() for name, part in _stateful(training).items()
    }
    content["random"] = {
        "order": training.order.get_state(),
        "augmentation": training.augmentation_stream.state,
        "cpu": torch.get_rng_state(),
        "device": global_random(training.device).get_rng_state(),
    }
    writer.write_tensors(layout.CHECKPOINT, content)


def resume(training: Training, folder: RunFolder) -> Progress | None:
    """Put the folder's checkpoint into the training; none where there is none. No code of it can run."""
    path = folder.path / layout.CHECKPOINT
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes checksums, and does not look at them
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} in it is damaged")
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["key"] != folder.key:
            raise ValueError(f"it belongs to the run {content['key']}")
        for name, part in _stateful(training).items():
            part.load_state_dict(content[name])
        training.order.set_state(content["random"]["order"])
        training.augmentation_stream.state = content["random"]["augmentation"]
        torch.set_rng_state(content["random"]["cpu"])
        global_random(training.device).set_rng_state(content["random"]["device"])
        progress = Progress(**content["progress"])
        valid(list[Row], progress.rows)
        if type(progress.best_epoch) is not int or type(progress.diverged) is not bool:
            raise ValueError("no numbers of epochs in it")
        if not 0 <= progress.best_epoch <= len(progress.rows) <= training.config["epochs"]:
            found = f"{len(progress.rows)} epochs, the best of them {progress.best_epoch}"
            raise ValueError(f"{found}, where the run has {training.config['epochs']}")
        return progress
    except Exception as error:  # whatever a broken or hostile file makes torch raise
        reason = first_problem(error)
        raise UserError(
            f"{path}: not a checkpoint to go on from ({reason}); delete it to train from the start"
        ) from error


def _stateful(training: Training) -> dict[str, Any]:
    parts = {"model": training.model, "optimizer": training.optimizer, "scaler": training.scaler}
    return parts | ({"averaging": training.averaging.mean} if training.averaging else {})
