"""Shifts of labels against features: found to the frame, with their sign, whatever the channel."""

import numpy as np
import pytest

from ablate.audit.alignment import REACH, SHIFTS, Classes, Moments, best_shift, fit

MEANS = np.random.default_rng(0).standard_normal((40, 6))


def spoken(seed: int, late: int = 0, frames: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Features (frames, 6) of random segments through a channel, and labels that lie `late` frames too late."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(draw.integers(0, 40, frames), draw.integers(4, 12, frames))[: frames + 2 * REACH]
    features = MEANS[labels] + 0.5 * draw.standard_normal((len(labels), 6)) + 5 * draw.standard_normal(6)
    start = REACH - late
    return features[REACH : REACH + frames].astype(np.float32), labels[start : start + frames].astype(np.uint8)


def moments(late: int) -> Moments:
    found = Moments.none(6)
    for seed in range(20):
        found.add(*spoken(seed, late))
    return found


@pytest.mark.parametrize("late", [-9, -2, -1, 0, 1, 3, 10])
def test_a_split_fits_best_where_its_labels_belong(late: int) -> None:
    found = moments(late)
    assert best_shift(found.fit()) == late
    sound, classes = moments(0), Classes.of(found, late)
    expected = Classes.of(sound, 0)
    assert (classes.weights - expected.weights).abs().mean() < 0.2 * expected.weights.abs().mean()


@pytest.mark.parametrize("late", [-10, -3, 0, 2, 7])
def test_an_utterance_fits_best_where_its_labels_belong(late: int) -> None:
    found = fit(*spoken(99, late), Classes.of(moments(0), 0))
    assert found and len(found.at) == len(SHIFTS) and best_shift(found.at) == late and found.at.max() > 1


def test_the_classes_share_of_the_variance_is_that_of_a_sum_over_frames() -> None:
    features, labels = spoken(0)
    found = Moments.none(6)
    found.add(features, labels)
    inner = slice(REACH, len(labels) - REACH)
    centred = features.astype(float) - features.astype(float).mean(0)
    for place, shift in enumerate(SHIFTS):
        earlier = centred[REACH - shift : len(labels) - REACH - shift]
        for label in np.unique(labels[inner]):
            which = labels[inner] == label
            assert np.allclose(found.sums[place, label], earlier[which].sum(0))
            assert found.counts[label] == which.sum()
    assert np.allclose(found.products, centred[inner].T @ centred[inner])


def test_what_is_too_short_is_not_judged_and_a_constant_coefficient_divides_nothing() -> None:
    features, labels = spoken(0, frames=50)
    assert fit(features, labels, Classes.of(moments(0), 0)) is None
    found = Moments.none(6)
    found.add(*spoken(0, frames=2 * REACH))
    assert not bool(found.counts.any()) and np.isfinite(found.fit()).all()
    for seed in range(20):
        features, labels = spoken(seed)
        features[:, 3] = 1
        found.add(features, labels)
    assert best_shift(found.fit()) == 0 and bool(Classes.of(found, 0).weights.isfinite().all())
