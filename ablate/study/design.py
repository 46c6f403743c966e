"""Designs: from factors to arms. The baseline is the first level of each factor, and the first arm."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Design = Literal["grid", "ofat", "path", "fraction", "zip"]
Resolution = Literal[3, 4, 5]
MOST_LEVELS = 1_000
"""Of a factor, far more than anybody can train."""
MOST_FACTORS = 20
"""Of a study."""
MOST_RUNS = 10_000
"""Of a study."""

Arm = tuple[str, ...]
"""A level of each factor, in the factors' order, as it is written in an override."""


@dataclass(frozen=True)
class Factor:
    """A config group or key and the levels that a study gives it, the baseline's first."""

    name: str
    levels: tuple[str, ...]


def arms(design: Design, factors: Sequence[Factor], resolution: Resolution = 4) -> list[Arm]:
    """The arms of a design, the baseline first, each once.

    Raises `ValueError` where the factors' numbers of levels don't suit the design.
    """
    made = _DESIGNS[design](factors, resolution) if factors else [()]
    return list(dict.fromkeys(made))


def label(factors: Sequence[Factor], arm: Arm) -> str:
    """An arm's name.

    >>> label([Factor("arch", ("cylinder", "pyramid")), Factor("optimizer.lr", ("0.1",))], ("pyramid", "0.1"))
    'arch=pyramid,optimizer.lr=0.1'
    """
    return ",".join(f"{factor.name}={level}" for factor, level in zip(factors, arm, strict=True)) or "baseline"


def without(arms: Sequence[Arm], factors: Sequence[Factor], exclude: Sequence[str]) -> list[Arm]:
    """The arms that none of the patterns `factor=level,...` matches; a pattern matches where all its parts do.

    Raises `ValueError` for a pattern that matches no arm, or the baseline.
    """
    kept = list(arms)
    for pattern in exclude:
        parts = set(split(pattern))
        matched = [
            arm for arm in arms if parts <= {f"{each.name}={level}" for each, level in zip(factors, arm, strict=True)}
        ]
        if not matched:
            raise ValueError(f"study.exclude: {pattern!r} matches no arm; expected factor=level,... of this study")
        if arms[0] in matched:
            raise ValueError(f"study.exclude: {pattern!r} matches the baseline {label(factors, arms[0])}")
        kept = [arm for arm in kept if arm not in matched]
    return kept


def seeds_of(arms: Sequence[str], seeds: Sequence[int], stop: Sequence[str]) -> dict[str, list[int]]:
    """The seeds of each arm: all of them, or the first ones where it stops: `ARM: NUMBER`.

    Raises `ValueError` for what is no such entry, or is of no arm, or of the baseline, the first arm.

    >>> seeds_of(["arch=a", "arch=b"], [0, 1, 2], ["arch=b: 2"])
    {'arch=a': [0, 1, 2], 'arch=b': [0, 1]}
    """
    numbers = dict.fromkeys(arms, len(seeds))
    for each in stop:
        arm, _, number = each.rpartition(":")
        if arm not in numbers:
            named = "; ".join(arms[1:])
            raise ValueError(f"study.stop: {each!r}: expected ARM: SEEDS, by the arm's whole name, one of {named}")
        if arm == arms[0]:
            raise ValueError(f"study.stop: {each!r}: the baseline is what all arms are compared with; leave it out")
        if not number.strip().isdecimal() or not 1 <= int(number) <= len(seeds):
            raise ValueError(f"study.stop: {each!r}: expected from 1 to {len(seeds)} seeds after the colon")
        numbers[arm] = int(number)
    return {arm: list(seeds[:number]) for arm, number in numbers.items()}


def aliases(design: Design, factors: Sequence[Factor], resolution: Resolution) -> list[str]:
    """What a fraction can't tell apart, main effects first: `arch = optimizer x scheduler`; empty for other designs.

    Effects of more than two factors are left out, as they are taken for nothing.
    """
    if design != "fraction":
        return []
    from pyDOE3 import fracfact_aliasing

    names = dict(zip("abcdefghijklmnopqrstuvwxyz", (factor.name for factor in factors), strict=False))
    found = []
    for line in fracfact_aliasing(_fraction_matrix(len(factors), resolution))[0]:
        effects = [word for word in line.split(" = ") if len(word) <= 2]
        if len(effects) > 1:
            found.append(" = ".join(" x ".join(names[letter] for letter in word) for word in effects))
    return found


def _grid(factors: Sequence[Factor], resolution: int) -> list[Arm]:
    return list(itertools.product(*(factor.levels for factor in factors)))


def _ofat(factors: Sequence[Factor], resolution: int) -> list[Arm]:
    baseline = tuple(factor.levels[0] for factor in factors)
    return [baseline] + [
        (*baseline[:place], level, *baseline[place + 1 :])
        for place, factor in enumerate(factors)
        for level in factor.levels[1:]
    ]


def _path(factors: Sequence[Factor], resolution: int) -> list[Arm]:
    made = [tuple(factor.levels[0] for factor in factors)]
    for place, factor in enumerate(factors):
        for level in factor.levels[1:]:
            made.append((*made[-1][:place], level, *made[-1][place + 1 :]))
    return made


def _zip(factors: Sequence[Factor], resolution: int) -> list[Arm]:
    numbers = {factor.name: len(factor.levels) for factor in factors if len(factor.levels) > 1}
    if len(set(numbers.values())) > 1:
        raise ValueError(f"study.design=zip: expected as many levels of each factor, found {_counts(numbers)}")
    longest = max((len(factor.levels) for factor in factors), default=1)
    columns = [factor.levels if len(factor.levels) > 1 else factor.levels * longest for factor in factors]
    return list(zip(*columns, strict=True))


def _fraction(factors: Sequence[Factor], resolution: Resolution) -> list[Arm]:
    if others := {factor.name: len(factor.levels) for factor in factors if len(factor.levels) != 2}:
        raise ValueError(f"study.design=fraction: expected two levels of each factor, found {_counts(others)}")
    matrix = _fraction_matrix(len(factors), resolution)
    return [
        tuple(factor.levels[place] for factor, place in zip(factors, row, strict=True))
        for row in (matrix != matrix[0]).astype(int).tolist()
    ]


def _fraction_matrix(num_factors: int, resolution: int) -> npt.NDArray[np.float64]:
    """A two-level fraction (runs, factors) of -1 and 1 of at least this resolution, the smallest that was found.

    The last factors are products of the first: all the products, from the longest or from the shortest on, of a
    full design of as few factors as give that resolution.
    """
    import numpy as np
    from pyDOE3 import fracfact

    letters = "abcdefghijklmnopqrstuvwxyz"[:num_factors]
    for base in range(1, num_factors):
        for order in (1, -1):
            words = [
                "".join(word)
                for size in range(base, 1, -1)[::order]
                if size >= resolution - 1
                for word in itertools.combinations(letters[:base], size)
            ][: num_factors - base]
            if len(words) == num_factors - base and _resolution(letters[base:], words) >= resolution:
                return np.asarray(fracfact(" ".join([*letters[:base], *words])), dtype=np.float64)
    raise ValueError(
        f"study.design=fraction: no fraction of {num_factors} factors has study.resolution={resolution}; a lower "
        "resolution, more factors, or study.design=grid"
    )


def _resolution(added: str, words: Sequence[str]) -> int:
    """The length of the shortest word of the defining relation: factors `added` are the products `words`."""
    relations = [frozenset(word) ^ {letter} for letter, word in zip(added, words, strict=True)]
    lengths = []
    for number in range(1, len(relations) + 1):
        for chosen in itertools.combinations(relations, number):
            word: frozenset[str] = frozenset()
            for relation in chosen:
                word ^= relation
            lengths.append(len(word))
    return min(lengths, default=99)


def _counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number} of {name}" for name, number in numbers.items())


def split(pattern: str) -> list[str]:
    """The parts of `a=1,b=[2,3]`: a comma within brackets belongs to a level.

    >>> split("arch=custom, arch.widths=[512,256]")
    ['arch=custom', 'arch.widths=[512,256]']
    """
    parts, depth = [""], 0
    for letter in pattern:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


_DESIGNS: dict[Design, Callable[[Sequence[Factor], Resolution], list[Arm]]] = {
    "grid": _grid, "ofat": _ofat, "path": _path, "fraction": _fraction, "zip": _zip,
}  # fmt: skip
