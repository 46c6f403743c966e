"""What is measured of utterances and of waveforms, by hand."""

import numpy as np
import pytest

from ablate.audit.measure import Measured, level, measure
from ablate.recipe.data.phoneme import UNKNOWN

FEATURES = [np.array([[0, 1], [2, 1], [2, 1], [4, 1]], np.float32), np.array([[1, 5], [3, 7]], np.float32)]


def measured(*labels: list[int]) -> Measured:
    utterances = [(features, np.array(own, np.uint8)) for features, own in zip(FEATURES, labels, strict=True)]
    return measure("train", [("a", "1"), ("b", "2")], 2, iter(utterances), {})


def test_utterances_are_measured() -> None:
    found = measured([0, 0, 1, 1], [2, 2])
    assert (
        found.is_labelled and found.frames.tolist() == [4, 2] and found.counts[:, :3].tolist() == [[2, 2, 0], [0, 0, 2]]
    )
    assert found.mean.tolist() == [[2, 1], [2, 6]] and found.deviation.tolist() == [[2**0.5, 0], [1, 1]]
    assert found.low.tolist() == [[0, 1], [1, 5]] and found.high.tolist() == [[4, 1], [3, 7]]
    assert found.repeated.tolist() == [1 / 3, 0] and found.at_limit.tolist() == [0.25, 0.5]
    mean, deviation = found.of_frames()
    frames = np.concatenate(FEATURES)
    assert np.allclose(mean, frames.mean(0)) and np.allclose(deviation, frames.std(0))


def test_frames_without_labels_are_measured_too() -> None:
    found = measured([int(UNKNOWN)] * 4, [int(UNKNOWN)] * 2)
    assert not found.is_labelled and not found.counts.any() and found.frames.tolist() == [4, 2]


def test_a_split_of_nothing_is_measured() -> None:
    found = measure("val", [], 3, iter(()), {"a": ["broken"]})
    assert not len(found.frames) and found.faults == {"a": ["broken"]} and found.mean.shape == (0, 3)


@pytest.mark.parametrize(
    ("samples", "at_peak", "at_zero"),
    [([0, 0.5, -0.25, 0], 0, 0.5), ([0.5, 0.5, 0.1, 0.5], 0.5, 0), ([-0.5, 0.5, 0.1, 0.2], 0.5, 0)],
)
def test_a_waveforms_level(samples: list[float], at_peak: float, at_zero: float) -> None:
    found = level(np.array(samples, np.float32))
    assert found.peak == 0.5 and (found.at_peak, found.at_zero) == (at_peak, at_zero)
    assert found.root_mean_square == pytest.approx(np.sqrt(np.mean(np.square(samples))))
