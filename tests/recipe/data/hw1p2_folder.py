"""A small folder in the course's layout, in the forms that its terms have."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ablate.recipe.data.phoneme import PHONEMES

LENGTHS = {"1-a": 5, "1-b": 3, "2-c": 4}


def write(
    root: Path,
    *,
    lengths: Mapping[str, int] = LENGTHS,
    sil: str = "SIL",
    ends: tuple[str, str] | None = None,
    num_mfcc: int = 4,
) -> Path:
    """A training and a validation split with utterances of these names and numbers of frames."""
    for split in ("train-clean-100", "dev-clean"):
        for part in ("mfcc", "transcript"):
            (root / split / part).mkdir(parents=True)
        draw = np.random.default_rng(len(split))
        for name, length in lengths.items():
            spelled = [sil if label == "SIL" else label for label in draw.choice(PHONEMES, length)]
            spelled = [ends[0], *spelled, ends[1]] if ends else spelled
            features = draw.standard_normal((length, num_mfcc)).astype(np.float32)
            np.save(root / split / "mfcc" / f"{name}.npy", features)
            np.save(root / split / "transcript" / f"{name}.npy", np.array(spelled))
    return root
