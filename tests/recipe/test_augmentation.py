"""Masks against torchaudio's own on each sample, and their sizes counted."""

import pytest
import torch
import torchaudio
from torch import Tensor

from ablate.recipe import augmentation
from ablate.recipe.augmentation import Augmentation

WINDOWS = torch.rand(4000, 21, 28) + 1


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
    keys = {"time_mask": {"frames": size}, "freq_mask": {"coefficients": size}}[option]
    blank = masked(getattr(augmentation, option)(21, 28, **keys))
    lines = blank.all(3 - axis)  # (batch, axis): masked along the whole of the other axis
    assert torch.equal(blank, lines.unsqueeze(3 - axis).expand_as(blank))
    assert runs_are_contiguous(lines)
    sizes = torch.bincount(lines.sum(1), minlength=size + 1)
    assert sizes[size] == 0 and (sizes[:size] > 0.7 * len(WINDOWS) / size).all()
    assert lines[:, :-1].any(0).all() and not lines[:, -1].any()  # torchaudio never reaches the last place


def test_it_is_torchaudios_mask() -> None:
    torch.manual_seed(3)
    expected = torchaudio.transforms.TimeMasking(8, iid_masks=True)(WINDOWS.transpose(1, 2)).transpose(1, 2) == 0
    assert torch.equal(masked(augmentation.time_mask(21, 28, frames=8), seed=3), expected)
    torch.manual_seed(3)
    expected = torchaudio.transforms.FrequencyMasking(4, iid_masks=True)(WINDOWS.transpose(1, 2)).transpose(1, 2) == 0
    assert torch.equal(masked(augmentation.freq_mask(21, 28, coefficients=4), seed=3), expected)


def test_both_is_one_after_the_other() -> None:
    both = masked(augmentation.time_freq_mask(21, 28, frames=8, coefficients=4))
    assert runs_are_contiguous(both.all(2)) and runs_are_contiguous(both.all(1))
    assert both.all(2).any() and both.all(1).any()


def test_none_and_too_wide_masks() -> None:
    assert augmentation.none(21, 28)(WINDOWS) is WINDOWS
    with pytest.raises(ValueError, match=r"augmentation.frames=8: expected at most the 3 frames"):
        augmentation.time_mask(3, 28, frames=8)
    with pytest.raises(ValueError, match=r"augmentation.coefficients=14: expected at most the 13 coefficients"):
        augmentation.time_freq_mask(21, 13, frames=8, coefficients=14)
