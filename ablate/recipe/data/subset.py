"""Parts of a training split to look at first."""

import math
import random
from collections.abc import Sequence


def speaker(name: str) -> str:
    """Who speaks in an utterance: what stands before the first "-" of its name."""
    return name.partition("-")[0]


def subset(names: Sequence[str], fraction: float, seed: int) -> list[int]:
    """Sorted positions of `fraction` of the utterances (at least one), spread evenly over the speakers.

    Nested: with one seed, a smaller fraction is inside every larger one. Each speaker's utterances are shuffled and
    spread over [0, 1); the fraction's share of that line is taken.

    >>> names = ["anna-1", "anna-2", "bert-1", "bert-2"]
    >>> len(subset(names, 0.5, seed=0)), subset(names, 1, seed=0)
    (2, [0, 1, 2, 3])
    """
    speakers: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        speakers.setdefault(speaker(name), []).append(position)
    draw = random.Random(f"subset/{seed}")
    place: dict[int, float] = {}
    for name in sorted(speakers):
        positions = speakers[name]
        draw.shuffle(positions)
        offset = draw.random()
        place |= {position: (rank + offset) / len(positions) for rank, position in enumerate(positions)}
    taken = sorted(place, key=place.__getitem__)[: max(1, math.ceil(fraction * len(names) - 1e-9))]
    return sorted(taken)
