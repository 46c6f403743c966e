"""What is wrong with features, lengths and waveforms.

The limits lie between what is planted and what is found in four clean sets (espeak, espeak_tiny, espeak_hard and 93
minutes of read speech): there an utterance varies 0.62 to 1.8 times as much as the median one, and its first
coefficient 0.36 to 2.1 times; a split's means lie within 0.7 of training's deviations, and its scales within 1.43.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ablate.audit.finding import Finding
from ablate.audit.measure import Level, Measured
from ablate.display import few

_FEWEST = 5  # utterances that can be called a split's usual ones
_SHORTEST = 10  # frames that have a deviation worth the name
_SILENT = (0.2, 0.1)  # of the usual variation: of all coefficients, and of the first one alone
_LOUDEST_SCALE = 3.0
_QUIET = -6.0  # deviations of the utterances' means of the first coefficient
_REPEATED, _AT_LIMIT = 0.2, 0.05  # parts of the frames
_APART, _FACTOR = 5.0, 2.0  # of a split: deviations of its means, and times its scales
_LONG, _SHORT = 3.0, 0.25  # times the length that 5 % lie beyond
_SILENT_LEVEL, _AT_PEAK, _AT_ZERO = 3e-4, 5e-4, 0.5
_TINY = 1e-12

Why = Callable[[int], str]


def findings(measured: Measured, train: Measured) -> Iterator[Finding]:
    """Of a split's utterances, and of the split against the training split."""
    if not len(measured.names) or not len(train.names):
        return
    yield from _variation(measured, train)
    yield from _limits(measured)
    yield from _levels(measured)
    if min(len(measured.names), len(train.names)) >= _FEWEST:
        yield from _lengths(measured)
        yield from _quiet(measured, train)
        yield from _split_apart(measured, train)


def normalized(train: Measured) -> Iterator[Finding]:
    """Features of a split that look as if they had been normalized: by utterance, over all, or into an interval."""
    if len(train.names) < _FEWEST:
        return
    mean, deviation = train.of_frames()
    varies = deviation > _TINY
    low, high = train.low.min(), train.high.max()
    said = None
    if np.median(_off_centre(train)) < 0.1:
        is_unit = np.abs(np.median(train.deviation[:, varies], 0) - 1).max(initial=0) < 0.1
        said = f"in each utterance the coefficients have the mean 0{' and the deviation 1' if is_unit else ''}"
    elif max(np.abs(mean[varies]).max(initial=0), np.abs(deviation[varies] - 1).max(initial=0)) < 0.1:
        said = "the coefficients have the mean 0 and the deviation 1 over the split"
    elif 0.9 < high < 1.01 and (abs(low) < 0.01 or abs(low + 1) < 0.1):
        said = f"all coefficients lie between {low:.0f} and 1"
    if said:
        yield Finding("normalized already", train.split, said)


def _variation(measured: Measured, train: Measured) -> Iterator[Finding]:
    """Utterances that vary too little or too much, or whose coefficients do."""
    ratio = measured.deviation / np.maximum(np.median(train.deviation, 0), _TINY)
    all_of_it = np.exp(np.log(np.maximum(ratio, _TINY)).mean(1))
    usual = np.exp(np.median(np.log(np.maximum(ratio, _TINY)), 1))
    is_long = measured.frames >= _SHORTEST
    stands = measured.high == measured.low
    nowhere = stands.all(0)
    silent = is_long & ((usual < _SILENT[0]) | (ratio[:, 0] < _SILENT[1]) | stands.all(1)) & ~nowhere.all()
    if nowhere.any():
        yield Finding("constant coefficient", measured.split, f"{_coefficients(nowhere)} in every utterance")
    silent &= ~((ratio[:, 0] < _SILENT[1]) & nowhere[0] & (usual >= _SILENT[0]))
    yield from _some(
        measured, "silent", silent, "features that hardly change",
        lambda at: f"they vary {min(usual[at], ratio[at, 0]):.1%} as much as the others'",
    )  # fmt: skip
    stands = stands & ~nowhere & (is_long & ~silent)[:, None]
    yield from _some(
        measured, "constant coefficient", stands.any(1), "a coefficient that never changes",
        lambda at: _coefficients(stands[at]),
    )  # fmt: skip
    yield from _some(
        measured, "other features", is_long & (all_of_it > _LOUDEST_SCALE), "a scale of their own",
        lambda at: f"they vary {all_of_it[at]:.1f} times as much as the others'",
    )  # fmt: skip
    if np.median(_off_centre(train)) > 0.5:
        centred = is_long & ~silent & (_off_centre(measured) < 0.02)
        yield from _some(
            measured, "other features", centred, "normalized, where the others are not",
            lambda at: "each coefficient has the mean 0",
        )  # fmt: skip


def _limits(measured: Measured) -> Iterator[Finding]:
    """Frames that repeat, and values at which they stop."""
    is_long = measured.frames >= _FEWEST * _SHORTEST
    repeats = is_long & (measured.repeated > _REPEATED)
    yield from _some(
        measured, "dropouts", repeats, "frames that equal the one before",
        lambda at: f"{measured.repeated[at]:.0%} of its frames equal the one before",
    )  # fmt: skip
    yield from _some(
        measured, "clipped", is_long & ~repeats & (measured.at_limit > _AT_LIMIT), "features that stop at a limit",
        lambda at: f"{measured.at_limit[at]:.0%} of its frames have a coefficient's greatest or least value",
    )  # fmt: skip


def _quiet(measured: Measured, train: Measured) -> Iterator[Finding]:
    """Utterances far below the level of the training split's."""
    levels = train.mean[:, 0]
    spread = 1.4826 * np.median(np.abs(levels - np.median(levels)))
    below = (measured.mean[:, 0] - np.median(levels)) / max(spread, _TINY)
    quiet = (below < _QUIET) & (measured.frames >= _SHORTEST) & (np.median(_off_centre(train)) > 0.5)
    if measured is train or np.median(below) > _QUIET / 2:
        yield from _some(
            measured, "quiet", quiet, "a level far below the others'",
            lambda at: f"its first coefficient lies {-below[at]:.0f} deviations below the others'",
        )  # fmt: skip


def _split_apart(measured: Measured, train: Measured) -> Iterator[Finding]:
    spread = np.maximum(train.mean.std(0), 1e-3 * np.median(train.deviation, 0) + _TINY)
    apart = (np.abs(np.median(measured.mean, 0) - np.median(train.mean, 0)) / spread).max()
    own, others = (np.maximum(np.median(each.deviation, 0), _TINY) for each in (measured, train))
    factor = np.exp(np.abs(np.log(own / others))).max()
    if apart > _APART or factor > _FACTOR:
        said = f"means {apart:.1f} deviations from the training split's, and scales {factor:.1f} times apart"
        yield Finding("other features", measured.split, said)


def _lengths(measured: Measured) -> Iterator[Finding]:
    frames = measured.frames
    most = _LONG * np.quantile(frames, 0.95, method="lower")
    least = max(_SHORT * np.quantile(frames, 0.05, method="higher"), _SHORTEST)
    yield from _some(
        measured, "length", (frames < least) | (frames > most), f"below {least:.0f} frames, or above {most:.0f}",
        lambda at: f"{frames[at]:,} frames, where the median is {np.median(frames):,.0f}",
    )  # fmt: skip


def _levels(measured: Measured) -> Iterator[Finding]:
    """Audio that is silent, cut at its peak, or nothing for the most part."""
    rules: list[tuple[str, str, Callable[[Level], bool], Callable[[Level], str]]] = [
        ("silent", "audio without a level", lambda each: each.root_mean_square < _SILENT_LEVEL,
         lambda each: f"its audio's level is {_decibels(each.root_mean_square)}"),
        ("clipped", "audio that is cut at its peak", lambda each: each.at_peak > _AT_PEAK,
         lambda each: f"{each.at_peak:.1%} of its samples stand at its peak, {_decibels(each.peak)}"),
        ("dropouts", "audio that is 0 for the most part", lambda each: each.at_zero > _AT_ZERO,
         lambda each: f"{each.at_zero:.0%} of its samples are 0"),
    ]  # fmt: skip
    left = {name: each for name, each in measured.levels.items() if name in set(measured.names)}
    for kind, said, holds, why in rules:
        found = {name: why(each) for name, each in left.items() if holds(each)}
        left = {name: each for name, each in left.items() if name not in found}
        if found:
            yield Finding(kind, measured.split, said, found)


def _some(measured: Measured, kind: str, which: np.ndarray, what: str, why: Why) -> Iterator[Finding]:
    """A finding of the utterances that `which` (utterances,) is true of, if there are any."""
    if which.any():
        yield Finding(
            kind, measured.split, what, {measured.names[at]: why(at) for at in np.flatnonzero(which).tolist()}
        )


def _off_centre(measured: Measured) -> np.ndarray:
    """The largest of each utterance's means, in that coefficient's deviations; (utterances,)."""
    found: np.ndarray = (np.abs(measured.mean) / np.maximum(measured.deviation, _TINY)).max(1)
    return found


def _coefficients(which: np.ndarray) -> str:
    numbers = [str(number) for number in np.flatnonzero(which)]
    return f"coefficient{'s' if len(numbers) > 1 else ''} {few(numbers)}"


def _decibels(size: float) -> str:
    return f"{20 * np.log10(size):.0f} dB of full scale" if size else "nothing"
