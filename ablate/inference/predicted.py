"""What models make of recordings, each by itself and all together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ablate.error import UserError
from ablate.inference.ensemble import Combination, average, vote
from ablate.inference.trained import BATCH, Autocast, Trained
from ablate.recipe.data.cache import Recordings
from ablate.recipe.data.content import Track
from ablate.recipe.data.phoneme import UNKNOWN


@dataclass(frozen=True)
class Predicted:
    """Classes (frames,) uint8 of all recordings, one behind the other; correct frames where their classes are known.

    `correct` is of what the models say together, `correct_of_each` by the models' keys.
    """

    classes: Tensor
    correct: int | None
    correct_of_each: dict[str, int]

    def accuracy(self, correct: int) -> float:
        """So many correct frames as a fraction of all."""
        return correct / len(self.classes)


def predicted(
    models: Sequence[Trained],
    recordings: Recordings,
    combination: Combination,
    place: tuple[torch.device, Callable[[Trained], Autocast]],
    track: Track,
) -> Predicted:
    """What the models say of the recordings, on the device of `place`, each in its own context of a forward pass.

    Raises `UserError` for recordings that a model can't read.
    """
    device, autocast = place
    names = models[0].portable["classes"]
    if other := next((each for each in models if each.portable["classes"] != names), None):
        raise UserError(f"{other.folder.name}: has other classes than {models[0].folder.name}; predict them apart")
    labels = torch.zeros(0)
    probabilities: Tensor | None = None
    classes: dict[str, Tensor] = {}
    for model in sorted(models, key=lambda each: (-each.accuracy, each.folder.name)):
        table = model.table(recordings)
        batches = track(
            model.logits(table, device, autocast(model)), math.ceil(len(table.labels) / BATCH), model.folder.name
        )
        if combination == "average" and len(models) > 1:
            own = torch.cat([logits.softmax(1).cpu() for logits in batches])
            classes[model.folder.name] = own.argmax(1)
            probabilities = own if probabilities is None else average([probabilities, own])
        else:
            classes[model.folder.name] = torch.cat([logits.argmax(1).cpu() for logits in batches])
        labels = table.labels
    together = vote(list(classes.values()), len(names)) if probabilities is None else probabilities.argmax(1)
    is_known = bool((labels != UNKNOWN).all())
    return Predicted(
        classes=together.to(torch.uint8),
        correct=int((together == labels).sum()) if is_known else None,
        correct_of_each={key: int((own == labels).sum()) for key, own in classes.items()} if is_known else {},
    )
