"""The course starter's way to load a split and to train on it, to measure against, from its description.

Every utterance apart, then all together; a window a call of a dataset, a loss read at each step. `python -m
ablate.bench.starter ROOT` loads, and prints its peak memory in bytes; with `train` it trains an epoch and validates.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ablate.recipe.data.phoneme import PHONEMES

_SPELLED = ["[SIL]", *PHONEMES[1:]]


def load(folder: Path, context: int) -> tuple[Tensor, Tensor]:
    """All frames, zero-padded at their two ends, and their classes, as the starter's dataset holds them."""
    features, labels = [], []
    for file in sorted((folder / "mfcc").iterdir()):
        mfcc = np.load(file)
        features.append(torch.from_numpy(mfcc - mfcc.mean(0)))
        transcript = np.load(folder / "transcript" / file.name)[1:-1]
        labels.append(torch.tensor([_SPELLED.index(label) for label in transcript]))
    return torch.nn.functional.pad(torch.cat(features), (0, 0, context, context)), torch.cat(labels)


class Windows(Dataset[tuple[Tensor, Tensor]]):
    """A frame's window and its class, one a call."""

    def __init__(self, frames: Tensor, classes: Tensor, context: int) -> None:
        self.frames, self.classes, self.width = frames, classes, 2 * context + 1

    def __len__(self) -> int:
        """Frames."""
        return len(self.classes)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        """The window (time, mfcc) around a frame, and its class."""
        return self.frames[place : place + self.width].flatten(), self.classes[place]


def loader(frames: Tensor, classes: Tensor, context: int, batch: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Shuffled batches, made in this process, which is the fastest way on few cores."""
    return DataLoader(Windows(frames, classes, context), batch_size=batch, shuffle=True, drop_last=True)


def epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: DataLoader[tuple[Tensor, Tensor]]
) -> tuple[float, float]:
    """Train on all batches, with a look at loss and accuracy at each; their means."""
    model.train()
    loss_sum, correct = 0.0, 0.0
    for windows, classes in batches:
        optimizer.zero_grad()
        logits = model(windows)
        loss = torch.nn.functional.cross_entropy(logits, classes)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss_sum += loss.item()
        correct += (logits.argmax(1) == classes).float().mean().item()
    return loss_sum / len(batches), correct / len(batches)


@torch.no_grad()
def _validate(model: nn.Module, batches: DataLoader[tuple[Tensor, Tensor]]) -> float:
    model.eval()
    hits = [(model(windows).argmax(1) == classes).float().mean().item() for windows, classes in batches]
    return float(np.mean(hits))


def _train(root: Path, context: int = 20, width: int = 512, depth: int = 3, batch: int = 1024) -> None:
    train, val = (loader(*load(root / split, context), context, batch) for split in ("train-clean-100", "dev-clean"))
    inputs, layers = (2 * context + 1) * 28, list[nn.Module]()
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.GELU(), nn.Dropout(0.2)]
        inputs = width
    model = nn.Sequential(*layers, nn.Linear(inputs, len(PHONEMES)))
    print(epoch(model, torch.optim.AdamW(model.parameters()), train), _validate(model, val))


def main() -> None:
    """The command."""
    if sys.argv[2:] == ["train"]:
        _train(Path(sys.argv[1]))
        return
    kept = [load(Path(sys.argv[1], split), 10) for split in ("train-clean-100", "dev-clean")]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert all(len(labels) for _, labels in kept)
    print(peak)


if __name__ == "__main__":
    main()
