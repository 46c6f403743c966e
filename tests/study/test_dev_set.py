"""Another dev set: speakers are drawn, and both arms are judged on the same ones."""

import numpy as np
import pytest

from ablate.study.dev_set import Counts, resampled


def counts(correct: list[float], speakers: int, frames: int = 100) -> Counts:
    names = [f"utt{number}" for number in range(len(correct))]
    speaker = {name: f"spk{number % speakers}" if speakers else "" for number, name in enumerate(names)}
    return Counts(dict(zip(names, correct, strict=True)), dict.fromkeys(names, frames), speaker)


def test_the_interval_is_that_of_a_mean_over_speakers() -> None:
    draw = np.random.default_rng(0)
    baseline = 50 + 10 * draw.standard_normal(200)
    better = baseline + 2 + 3 * draw.standard_normal(200)
    found = resampled(counts(better.tolist(), 0), counts(baseline.tolist(), 0))
    assert found and found.unit == "utterances" and found.number == 200
    difference = (better - baseline) / 100
    error = difference.std(ddof=1) / np.sqrt(200)
    assert found.effect == pytest.approx(difference.mean())
    assert (found.low, found.high) == pytest.approx(
        (found.effect - 1.96 * error, found.effect + 1.96 * error), abs=5e-4
    )


def test_utterances_of_a_speaker_stay_together() -> None:
    draw = np.random.default_rng(1)
    of_speaker = np.tile(4 * draw.standard_normal(10), 20)  # the same for all utterances of a speaker
    arm, baseline = (50 + of_speaker).tolist(), [50.0] * 200
    together = resampled(counts(arm, 10), counts(baseline, 10))
    apart = resampled(counts(arm, 0), counts(baseline, 0))
    assert together and apart and together.number == 10 and together.unit == "speakers"
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_the_same_from_the_same_and_none_from_too_little() -> None:
    one, other = counts([60.0, 70.0, 80.0], 3), counts([50.0, 70.0, 85.0], 3)
    assert resampled(one, other) == resampled(one, other)
    assert resampled(counts([60.0, 70.0], 1), counts([50.0, 70.0], 1)) is None
    assert resampled(one, counts([50.0, 70.0, 85.0], 3, frames=90)) is None, "other utterances"
