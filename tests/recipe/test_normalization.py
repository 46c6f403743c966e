"""Normalizations against numpy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ablate.recipe import normalization
from ablate.recipe.data.table import FrameTable
from ablate.recipe.normalization import Made, Normalization


def table(seed: int, lengths: tuple[int, ...] = (7, 1, 5), constant: bool = False) -> FrameTable:
    made = FrameTable.blank([str(i) for i in range(len(lengths))], list(lengths), 3)
    draw = np.random.default_rng(seed)
    for features, _ in made.utterances():
        features.numpy()[:] = draw.normal((100, -3, 0.01), (20, 1, 0.001), features.shape)
        if constant:
            features[:, 1] = 13.37  # no float32
    return made


@dataclass
class Split:
    """Utterances to fit to."""

    made: FrameTable

    def map(self, make: Callable[[Tensor, Tensor], Made]) -> Iterator[Made]:
        return (make(features, labels) for features, labels in self.made.utterances())


def frames(made: FrameTable) -> np.ndarray:
    return made.features[made.centre].double().numpy()


def normalized(normalize: Normalization, made: FrameTable) -> np.ndarray:
    for features, _ in made.utterances():
        normalize(features)
    return frames(made)


@given(st.integers(0, 1000))
def test_zscore_standardizes_by_the_training_split(seed: int) -> None:
    train, val = table(seed), table(seed + 1)
    expected = (frames(val) - frames(train).mean(0)) / frames(train).std(0)
    normalize = normalization.zscore(Split(train))
    assert normalized(normalize, val) == pytest.approx(expected, abs=1e-3)
    after = normalized(normalize, train)
    assert after.mean(0) == pytest.approx(0, abs=1e-3) and after.std(0) == pytest.approx(1, abs=1e-3)


@given(st.integers(0, 1000))
def test_minmax_maps_the_training_splits_extremes_to_the_range(seed: int) -> None:
    train, val = table(seed), table(seed + 1)
    low, high = frames(train).min(0), frames(train).max(0)
    expected = -2 + (frames(val) - low) / (high - low) * 5
    normalize = normalization.minmax(Split(train), range=[-2.0, 3.0])
    assert normalized(normalize, val) == pytest.approx(expected, abs=1e-3)
    after = normalized(normalize, train)
    assert after.min(0) == pytest.approx(-2, abs=1e-4) and after.max(0) == pytest.approx(3, abs=1e-4)


def test_cmn_takes_each_utterances_mean_and_leaves_the_scale() -> None:
    made = table(0)
    expected = np.concatenate([part.double().numpy() - part.double().mean(0).numpy() for part, _ in made.utterances()])
    assert normalized(normalization.cmn(Split(table(1))), made) == pytest.approx(expected, abs=1e-4)


def test_cmvn_standardizes_each_utterance() -> None:
    made = table(0)
    parts = [part.double().numpy() for part, _ in made.utterances()]
    deviations = [part.std(0) if len(part) > 1 else np.ones(3) for part in parts]
    expected = np.concatenate(
        [(part - part.mean(0)) / deviation for part, deviation in zip(parts, deviations, strict=True)]
    )
    assert normalized(normalization.cmvn(Split(table(1))), made) == pytest.approx(expected, abs=1e-2)


@given(st.integers(1, 60), st.integers(1, 25), st.integers(1, 25), st.booleans(), st.booleans(), st.integers(0, 99))
def test_cmn_sliding_is_torchaudios(
    frames_of_it: int, window: int, least: int, centered: bool, variance: bool, seed: int
) -> None:
    made = table(seed, (frames_of_it, 3))
    reference = torchaudio.transforms.SlidingWindowCmn(window, least, centered, variance)
    expected = torch.cat([reference(features.double()).view(-1, 3) for features, _ in made.utterances()]).numpy()
    found = normalized(
        normalization.cmn_sliding(Split(made), window=window, least_window=least, centered=centered, variance=variance),
        made,
    )
    sane = np.isfinite(expected) & (np.abs(expected) < 1e3)  # torchaudio's variance of one frame, or of rounding
    assert found[sane] == pytest.approx(expected[sane], abs=1e-2, rel=1e-2) and np.isfinite(found).all()


def test_none_changes_nothing() -> None:
    made = table(0)
    before = frames(made)
    assert np.array_equal(normalized(normalization.none(Split(made)), made), before)


def test_a_constant_coefficient_gives_no_nan() -> None:
    train = table(0, constant=True)
    for normalize, value in (
        (normalization.zscore(Split(train)), 0.0),
        (normalization.minmax(Split(train), range=[-1.0, 1.0]), -1.0),
        (normalization.cmvn(Split(train)), 0.0),
        (normalization.cmn_sliding(Split(train), window=4, least_window=2, centered=False, variance=True), 0.0),
    ):
        after = normalized(normalize, table(1, constant=True))
        assert np.isfinite(after).all() and after[:, 1] == pytest.approx(value, abs=1e-6)


def test_a_range_upside_down_is_refused() -> None:
    with pytest.raises(ValueError, match=r"normalization.range"):
        normalization.minmax(Split(table(0)), range=[1.0, 1.0])
