"""A corpus read and measured, split by split, and what is found in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ablate.audit.alignment import Classes, Fit, best_shift
from ablate.audit.finding import Finding
from ablate.audit.judging import judge
from ablate.audit.measure import Measured, fits, level, measure
from ablate.error import refusing
from ablate.recipe.data.cache import Recordings, undamaged
from ablate.recipe.data.content import Track
from ablate.recipe.data.corpus import Audible, Corpus, Split, of_both
from ablate.recipe.data.threads import single_thread

_FEWEST_UTTERANCES = 20  # to train on, from which classes are known well enough to judge labels by
_MOST_SHOWN = 4  # findings of which an utterance is shown


@dataclass(frozen=True)
class Shown:
    """An utterance to look at, and why: `features` (frames, mfcc), `labels` (frames,)."""

    split: Split
    name: str
    why: str
    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Audit:
    """A corpus in numbers, and what is found in it. `not_there` says why a split was not looked at."""

    splits: Sequence[Measured]
    findings: Sequence[Finding]
    shown: Sequence[Shown]
    not_there: Mapping[Split, str]
    hop_seconds: float

    @property
    def must_be_mended(self) -> bool:
        """Whether results on these data would be wrong."""
        return any(each.rank == "mend" for each in self.findings)

    @property
    def leave_out(self) -> list[str]:
        """`split/name` of each utterance whose leaving out mends what can be mended so."""
        named = {f"{each.split}/{name}" for each in self.findings if each.rank == "mend" for name in each.utterances}
        return sorted(named)


def audit(corpus: Corpus, cache: Path, track: Track) -> Audit:
    """Look at all splits that the corpus has, read from the cache or into it.

    Raises `UserError` for a training or validation split that is not there; a test split need not be.
    """

    def audited() -> Audit:
        recordings, not_there = _recordings(corpus, cache, track)
        with single_thread():  # more are slower here
            return _audited(corpus, recordings, not_there)

    return undamaged(audited)


def _recordings(corpus: Corpus, cache: Path, track: Track) -> tuple[dict[Split, Recordings], dict[Split, str]]:
    with refusing():
        train, val = of_both(lambda split: corpus.whole(split, cache=cache, track=track))
    found: dict[Split, Recordings] = {"train": train, "val": val}
    try:
        found["test"] = corpus.whole("test", cache=cache, track=track)
    except ValueError as error:
        return found, {"test": str(error)}
    return found, {}


def _audited(corpus: Corpus, recordings: Mapping[Split, Recordings], not_there: Mapping[Split, str]) -> Audit:
    measured = [_measured(corpus, split, each) for split, each in recordings.items()]
    train = measured[0].moments
    classes = Classes.of(train, best_shift(train.fit()))
    is_enough = len(recordings["train"].names) >= _FEWEST_UTTERANCES
    fitted: dict[Split, list[Fit | None]] = {
        each.split: fits(_frames(recordings[each.split]), classes) if is_enough else [None] * len(each.names)
        for each in measured
        if each.is_labelled
    }
    findings = judge(measured, fitted)
    return Audit(measured, findings, list(_shown(measured, recordings, findings)), not_there, corpus.hop_seconds)


def _measured(corpus: Corpus, split: Split, recordings: Recordings) -> Measured:
    named = list(zip(recordings.names, recordings.speaker_of_each, strict=True))
    found = measure(split, named, recordings.num_mfcc, _frames(recordings), recordings.faults)
    if not isinstance(corpus, Audible):
        return found
    with refusing():
        waveforms = corpus.waveforms(split, set(recordings.names))
        return dataclasses.replace(found, levels={name: level(samples.numpy()) for name, samples in waveforms})


def _frames(recordings: Recordings) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for features, labels in recordings.utterances():
        yield features.numpy(), labels.numpy()


def _shown(
    measured: Sequence[Measured], recordings: Mapping[Split, Recordings], findings: Sequence[Finding]
) -> Iterator[Shown]:
    """An utterance of each of the first kinds of findings, and an ordinary one of each split: of median length."""
    wanted: dict[tuple[Split, str], str] = {}
    found = {f"{each.split}/{name}" for each in findings for name in each.utterances}
    kinds: dict[str, tuple[Split, str, str]] = {}
    for each in findings:
        sound = set(recordings[each.split].names)
        for name, why in each.utterances.items():
            if name in sound and (each.split, name) not in [known[:2] for known in kinds.values()]:
                kinds.setdefault(each.kind, (each.split, name, f"{each.kind}: {why}"))
                break
    wanted |= {(split, name): why for split, name, why in list(kinds.values())[:_MOST_SHOWN]}
    for those in measured:
        by_length = sorted(zip(those.frames.tolist(), those.names, strict=True))
        ordinary = [name for _, name in by_length if f"{those.split}/{name}" not in found]
        if ordinary:
            wanted[those.split, ordinary[len(ordinary) // 2]] = "as most of them"
    for (split, name), why in wanted.items():
        whole = recordings[split]
        one = dataclasses.replace(whole, entries=tuple(each for each in whole.entries if each.name == name))
        for features, labels in _frames(one):
            yield Shown(split, name, why, features, labels)
