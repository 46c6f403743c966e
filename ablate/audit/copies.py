"""Utterances that are there twice, in a split or in two, and who or what else is in two splits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ablate.audit.finding import Finding
from ablate.audit.measure import Measured
from ablate.display import few

_MUCH = (50, 5)  # frames and classes: what two recordings never share frame by frame


def within(measured: Measured) -> Iterator[Finding]:
    """Utterances of one split that have the features of an earlier one, or its labels."""
    by_features, by_labels = dict[bytes, int](), dict[bytes, int]()
    again, same_labels = dict[str, str](), dict[str, str]()
    for place, name in enumerate(measured.names):
        labels = measured.label_digests[place]
        first = by_features.setdefault(measured.digests[place], place)
        if first != place:
            alike = "the same labels" if labels == measured.label_digests[first] else "other labels"
            again[name] = f"the features of {measured.names[first]}, with {alike}"
        elif (first := by_labels.setdefault(labels, place)) != place and _says_much(measured, place):
            same_labels[name] = f"the labels of {measured.names[first]}"
    if again:
        yield Finding("duplicate", measured.split, "the very features of another utterance", again)
    if same_labels:
        yield Finding("same labels", measured.split, "the labels of another utterance, frame by frame", same_labels)


def across(splits: Sequence[Measured]) -> Iterator[Finding]:
    """Features, names and speakers in two splits; of two copies the earlier split's is found: the later one judges."""
    for one, other in itertools.combinations(splits, 2):
        there = dict(zip(other.digests, other.names, strict=True))
        pairs = zip(one.names, one.digests, strict=True)
        same = {name: f"the features of {other.split}/{there[digest]}" for name, digest in pairs if digest in there}
        if same:
            yield Finding("in two splits", one.split, f"the very features of utterances of {other.split}", same)
        if names := sorted((set(one.names) & set(other.names)) - set(same)):
            said = f"{len(names)} names that {other.split} has for other features: {few(names)}"
            yield Finding("name in two splits", one.split, said)
        if speakers := sorted(set(one.speakers) & set(other.speakers)):
            said = f"{len(speakers)} who speak in {other.split} too: {few(speakers)}"
            yield Finding("speaker in two splits", one.split, said)


def _says_much(measured: Measured, place: int) -> bool:
    frames, classes = _MUCH
    is_long = measured.frames[place] >= frames
    return bool(measured.is_labelled and is_long and (measured.counts[place] > 0).sum() >= classes)
