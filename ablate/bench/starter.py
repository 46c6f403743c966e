"""The course starter's way to load a split, to measure against: every utterance apart, then all together.

`python -m ablate.bench.starter ROOT` prints its peak memory in bytes.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

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


def main() -> None:
    """The command."""
    kept = [load(Path(sys.argv[1], split), 10) for split in ("train-clean-100", "dev-clean")]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert all(len(labels) for _, labels in kept)
    print(peak)


if __name__ == "__main__":
    main()
