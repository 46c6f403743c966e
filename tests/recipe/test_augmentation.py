"""Masks against torchaudio's own on each sample, their sizes counted; noise measured."""

from typing import Any

import pytest
import torch
import torchaudio
from torch import Tensor

from ablate.recipe import augmentation
from ablate.recipe.augmentation import Augmentation

WINDOWS = torch.rand(4000, 21, 28) + 1
KEYS: dict[str, dict[str, Any]] = {
    "time_mask": {"frames": 8},
    "freq_mask": {"coefficients": 4},
    "time_freq_mask": {"frames": 8, "coefficients": 4},
    "gaussian_noise": {"deviation": 0.5},
}


def made(option: str, **changes: Any) -> Augmentation:
    keys = {"probability": 1.0, "per": "sample", "keep_centre": False} | KEYS[option] | changes
    augment: Augmentation = getattr(augmentation, option)(21, 28, **keys)
    return augment


def masked(augment: Augmentation, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    result = augment(WINDOWS)
    assert result.shape == WINDOWS.shape
    blank = result == 0
    assert torch.equal(result[~blank], WINDOWS[~blank])
    return blank


def runs_are_contiguous(lines: Tensor) -> bool:
    """Whether each row of booleans has at most one run of True."""
    starts = (lines[:, 1:] & ~lines[:, :-1]).sum(1) + lines[:, 0]
    return bool((starts <= 1).all())


@pytest.mark.parametrize(("option", "axis", "size"), [("time_mask", 1, 8), ("freq_mask", 2, 4)])
def test_a_mask_a_sample_of_uniform_size_along_one_axis(option: str, axis: int, size: int) -> None:
    blank = masked(made(option))
    lines = blank.all(3 - axis)  # (batch, axis): masked along the whole of the other axis
    assert torch.equal(blank, lines.unsqueeze(3 - axis).expand_as(blank))
    assert runs_are_contiguous(lines)
    sizes = torch.bincount(lines.sum(1), minlength=size + 1)
    assert sizes[size] == 0 and (sizes[:size] > 0.7 * len(WINDOWS) / size).all()
    assert lines[:, :-1].any(0).all() and not lines[:, -1].any()  # torchaudio never reaches the last place


def test_it_is_torchaudios_mask() -> None:
    torch.manual_seed(3)
    expected = torchaudio.transforms.TimeMasking(8, iid_masks=True)(WINDOWS.transpose(1, 2)).transpose(1, 2) == 0
    assert torch.equal(masked(made("time_mask"), seed=3), expected)
    torch.manual_seed(3)
    expected = torchaudio.transforms.FrequencyMasking(4, iid_masks=True)(WINDOWS.transpose(1, 2)).transpose(1, 2) == 0
    assert torch.equal(masked(made("freq_mask"), seed=3), expected)


def test_a_mask_a_batch_is_the_course_starters() -> None:
    """The starter: transpose, FrequencyMasking, TimeMasking, both one for all samples, transpose back."""
    torch.manual_seed(3)
    expected = torchaudio.transforms.FrequencyMasking(4)(WINDOWS.transpose(1, 2))
    expected = torchaudio.transforms.TimeMasking(8)(expected).transpose(1, 2) == 0
    assert expected.any()
    assert torch.equal(masked(made("time_freq_mask", per="batch"), seed=3), expected)


def test_both_is_one_after_the_other() -> None:
    both = masked(made("time_freq_mask"))
    assert runs_are_contiguous(both.all(2)) and runs_are_contiguous(both.all(1))
    assert both.all(2).any() and both.all(1).any()


def test_noise_has_the_deviation_asked_for_of_each_coefficient() -> None:
    windows = WINDOWS * torch.linspace(0.1, 10, 28)
    for per in ("sample", "batch"):
        noise = made("gaussian_noise", per=per)(windows) - windows
        relative = noise / windows.std((0, 1))
        assert float(relative.mean()) == pytest.approx(0, abs=0.1)
        if per == "sample":
            assert relative.std((0, 1)).numpy() == pytest.approx(0.5, rel=0.02)
            assert abs(float((relative[0] * relative[1]).mean())) < 0.05
        else:
            torch.testing.assert_close(noise, noise[:1].expand_as(noise), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("option", KEYS)
def test_probability_leaves_whole_samples_or_batches_alone(option: str) -> None:
    always = (made(option)(WINDOWS) != WINDOWS).any((1, 2)).float().mean()
    changed = (made(option, probability=0.25)(WINDOWS) != WINDOWS).any((1, 2)).float().mean()
    assert float(changed) == pytest.approx(0.25 * float(always), abs=0.03)
    batches = [
        (made(option, probability=0.5, per="batch")(WINDOWS[:50]) != WINDOWS[:50]).any((1, 2)) for _ in range(60)
    ]
    assert all(batch.all() or not batch.any() for batch in batches)
    assert 5 < sum(bool(batch.any()) for batch in batches) < 45


@pytest.mark.parametrize("option", KEYS)
@pytest.mark.parametrize("per", ["sample", "batch"])
def test_the_labelled_frame_can_be_kept(option: str, per: str) -> None:
    augment = made(option, per=per, keep_centre=True)
    for _ in range(10):
        before = WINDOWS.clone()
        result = augment(WINDOWS)
        assert torch.equal(result[:, 10], WINDOWS[:, 10]) and torch.equal(WINDOWS, before)
    assert any((augment(WINDOWS) != WINDOWS).any() for _ in range(10))


def test_noise_of_a_single_value_is_none() -> None:
    alone = torch.ones(1, 1, 1)
    keys: dict[str, Any] = {"deviation": 1.0, "probability": 1.0, "per": "sample", "keep_centre": False}
    assert torch.equal(augmentation.gaussian_noise(1, 1, **keys)(alone), alone)
    with pytest.raises(ValueError, match=r"augmentation.keep_centre=true: a window is its centre frame alone"):
        augmentation.gaussian_noise(1, 1, **(keys | {"keep_centre": True}))


def test_none_and_too_wide_masks() -> None:
    assert augmentation.none(21, 28)(WINDOWS) is WINDOWS
    with pytest.raises(ValueError, match=r"augmentation.frames=22: expected at most the 21 frames"):
        made("time_mask", frames=22)
    with pytest.raises(ValueError, match=r"augmentation.coefficients=29: expected at most the 28 coefficients"):
        made("time_freq_mask", coefficients=29)
