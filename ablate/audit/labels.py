"""What is wrong with labels: those that never occur, and those that lie beside their features.

In the four clean sets (see `features`) no split's and no speaker's labels fit better when moved. Of 3,730 utterances
two fit better when moved by more than 2 frames, by 13 %, and all fit at least 0.137 times as well as the median one.
Planted ones are found: labels of 5 frames away in 99 % (espeak) and 80 % (read speech) of the utterances, of 10 in
100 % and 99 %, another utterance's labels in 90 % and 75 %; of a whole speaker or split, from 2 frames on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ablate.audit.alignment import REACH, SHIFTS, Fit, best_shift
from ablate.audit.finding import Finding
from ablate.audit.measure import Measured
from ablate.recipe.data.phoneme import PHONEMES

Fits = Sequence[Fit | None]

_MANY_FRAMES = 10_000  # in which every phoneme should be
_SURELY = 1e-3
_LONG = 50  # frames in which there should be two labels
_FEWEST = 5  # utterances that judge a split or a speaker
_FEWEST_FRAMES = 1_000
_FLAT = 0.8  # of the best fit: what the worst shift never reaches
_OF_A_SPEAKER, _OF_AN_UTTERANCE = 2, 3  # frames from which on a shift is told
_BETTER_SPEAKER, _BETTER_UTTERANCE = 1.05, 1.2  # times the fit where they should lie
_FITS, _FITS_NOT = 0.35, 0.12  # times the usual fit


def occurring(measured: Measured, splits: Sequence[Measured]) -> Iterator[Finding]:
    """Utterances with one label only, and labels that the split lacks though chance alone would have put them there."""
    has = measured.counts > 0
    alone = np.flatnonzero((has.sum(1) == 1) & (measured.frames >= _LONG)).tolist()
    if alone:
        named = {measured.names[at]: f"{PHONEMES[int(has[at].argmax())]} alone" for at in alone}
        yield Finding("one label", measured.split, "one label from end to end", named)
    others = [each.counts > 0 for each in splits if each is not measured and each.is_labelled]
    elsewhere = np.logical_or.reduce([each.any(0) for each in others], initial=False, axis=0)
    expected = elsewhere | (measured.frames.sum() >= _MANY_FRAMES)
    if measured.split != "train":
        expected = (1 - (splits[0].counts > 0).mean(0)) ** len(measured.names) < _SURELY
    missing = ~has.any(0) & expected
    if missing.any():
        where = "which other splits have" if (missing & elsewhere).any() else "nor in another split"
        said = f"{', '.join(PHONEMES[at] for at in np.flatnonzero(missing))}, {where}"
        yield Finding("label never occurs", measured.split, said)


def aligned(measured: Measured, fits: Fits, of_train: Fits) -> Iterator[Finding]:
    """Labels beside their features, or with nothing to do with them: a split's, a speaker's, an utterance's."""
    judged, moved = [each for each in fits if each], 0
    if measured.moments.counts.sum() >= _FEWEST_FRAMES and len(judged) >= _FEWEST:
        curve = measured.moments.fit()
        moved = best_shift(curve)
        if curve.min() > _FLAT * curve.max():
            yield Finding("wrong labels", measured.split, "all labels fit as well 10 frames away: they are not these'")
            return
        if moved:
            kind = "labels off by a frame" if abs(moved) == 1 else "shifted labels"
            yield Finding(kind, measured.split, f"all labels lie {_moved(moved)}")
    if not judged:
        return
    usual = max(
        float(np.median([each.at.max() for each in all_of if each])) for all_of in (fits, of_train) if any(all_of)
    )
    shifted, wrong = _of_speakers(measured, fits, moved), dict[str, str]()
    for name, each in zip(measured.names, fits, strict=True):
        if not each or name in shifted:
            continue
        here, best = each.at[REACH + moved], each.at.max()
        is_away = abs(best_shift(each.at) - moved) >= _OF_AN_UTTERANCE
        if is_away and best > _FITS * usual and best > _BETTER_UTTERANCE * here:
            shifted[name] = f"its labels lie {_moved(best_shift(each.at))}"
        elif here < _FITS_NOT * usual and best < _FITS * usual:
            wrong[name] = f"its labels fit {max(here, 0) / usual:.0%} as well as the others'"
    if shifted:
        yield Finding("shifted labels", measured.split, "labels that lie beside their features", shifted)
    if wrong:
        yield Finding("wrong labels", measured.split, "labels that fit no better than those of another place", wrong)


def _of_speakers(measured: Measured, fits: Fits, moved: int) -> dict[str, str]:
    """The utterances of speakers whose labels all lie elsewhere than the split's, and where."""
    own: dict[str, dict[str, Fit]] = {}
    for name, speaker, each in zip(measured.names, measured.speakers, fits, strict=True):
        if each:
            own.setdefault(speaker, {})[name] = each
    found = dict[str, str]()
    for speaker, utterances in own.items():
        at = np.mean([each.at for each in utterances.values()], axis=0)
        is_away = abs(best_shift(at) - moved) >= _OF_A_SPEAKER and at.max() > _BETTER_SPEAKER * at[REACH + moved]
        if len(utterances) >= _FEWEST and is_away and len(own) > 1:
            found |= dict.fromkeys(utterances, f"the labels of its speaker, {speaker}, lie {_moved(best_shift(at))}")
    return found


def _moved(shift: int) -> str:
    """A shift in words.

    >>> _moved(1), _moved(-10)
    ('1 frame too late', 'at least 10 frames too early')
    """
    frames = f"{abs(shift)} frame{'s' if abs(shift) > 1 else ''}"
    return f"{'at least ' if abs(shift) == SHIFTS[-1] else ''}{frames} too {'late' if shift > 0 else 'early'}"
