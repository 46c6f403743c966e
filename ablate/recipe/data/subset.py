"""Parts of a training split to look at first."""

import math
import random
from collections.abc import Sequence


def subset(speakers: Sequence[str], fraction: float, seed: int) -> list[int]:
    """Sorted positions of `fraction` of the utterances (at least one), spread evenly over their speakers.

    Nested: with one seed, a smaller fraction is inside every larger one. Each speaker's utterances are shuffled and
    spread over [0, 1); the fraction's share of that line is taken.

    >>> speakers = ["anna", "anna", "bert", "bert"]
    >>> len(subset(speakers, 0.5, seed=0)), subset(speakers, 1, seed=0)
    (2, [0, 1, 2, 3])
    """
    positions: dict[str, list[int]] = {}
    for position, speaker in enumerate(speakers):
        positions.setdefault(speaker, []).append(position)
    draw = random.Random(f"subset/{seed}")
    place: dict[int, float] = {}
    for _, own in sorted(positions.items()):
        draw.shuffle(own)
        offset = draw.random()
        place |= {position: (rank + offset) / len(own) for rank, position in enumerate(own)}
    taken = sorted(place, key=place.__getitem__)[: max(1, math.ceil(fraction * len(speakers) - 1e-9))]
    return sorted(taken)
