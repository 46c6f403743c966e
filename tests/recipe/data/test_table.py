"""Windows at the borders of utterances, against hand-made ones."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from ablate.recipe.data.cache import Fault, Recordings, Sources, Utterance, cached
from ablate.recipe.data.corpus import GAP, Boundary
from ablate.recipe.data.table import FrameTable
from ablate.recipe.normalization import cmn


def silent(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    return items


def table(lengths: list[int], num_mfcc: int = 2, boundary: Boundary = "zero") -> FrameTable:
    """Utterances whose features count up from 1, so that every value tells where it comes from."""
    made = FrameTable.blank([f"speaker-{i}" for i in range(len(lengths))], lengths, num_mfcc, boundary)
    values = torch.arange(1.0, sum(lengths) * num_mfcc + 1).view(-1, num_mfcc)
    for part, (features, labels) in zip(torch.split(values, lengths), made.utterances(), strict=True):
        features[:] = part
        labels[:] = part[:, 0].to(torch.uint8)
    return made


def batch(made: FrameTable, context: int, frames: list[int]) -> Tensor:
    windows = made.windows(context).index_select(0, made.centre[frames] - context)
    return windows.view(len(frames), 2 * context + 1, made.num_mfcc)


def test_a_window_holds_its_own_utterance_and_zeros() -> None:
    made = table([2, 3], num_mfcc=1)
    assert batch(made, 1, [0, 1, 2, 3, 4]).squeeze(-1).tolist() == [
        [0, 1, 2], [1, 2, 0], [0, 3, 4], [3, 4, 5], [4, 5, 0],
    ]  # fmt: skip
    assert made.labels.tolist() == [1, 2, 3, 4, 5]


def test_a_bleeding_window_holds_the_neighbours_and_zeros_only_at_the_ends() -> None:
    made = table([2, 3], num_mfcc=1, boundary="bleed")
    assert batch(made, 1, [0, 1, 2, 3, 4]).squeeze(-1).tolist() == [
        [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 0],
    ]  # fmt: skip


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, GAP), st.integers(1, 3))
@example([2, 3], GAP, 1)  # the widest context reaches to the gap's very end
def test_windows_equal_those_of_each_utterance_padded_alone(lengths: list[int], context: int, num_mfcc: int) -> None:
    made = table(lengths, num_mfcc)
    expected = [
        torch.nn.functional.pad(features, (0, 0, context, context)).unfold(0, 2 * context + 1, 1).transpose(1, 2)
        for features, _ in made.utterances()
    ]
    assert torch.equal(batch(made, context, list(range(sum(lengths)))), torch.cat(expected))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, GAP), st.integers(1, 3))
@example([2, 3], GAP, 1)  # the widest context reaches to the gap's very end
def test_bleeding_windows_equal_the_course_starters(lengths: list[int], context: int, num_mfcc: int) -> None:
    made = table(lengths, num_mfcc, "bleed")
    # The starter: concatenate all utterances, pad the two ends once, take mfccs[i : i + 2 * context + 1].
    together = torch.cat([features for features, _ in made.utterances()])
    padded = torch.nn.functional.pad(together, (0, 0, context, context))
    expected = [padded[i : i + 2 * context + 1] for i in range(len(together))]
    assert torch.equal(batch(made, context, list(range(sum(lengths)))), torch.stack(expected))


def recorded(lengths: list[int], folder: Path) -> Recordings:
    draw = np.random.default_rng(0)
    made = [
        Utterance(f"{i}-a", str(i), draw.normal(100, 9, (length, 3)).astype(np.float32), np.full(length, i, np.uint8))
        for i, length in enumerate(lengths)
    ]
    sources = Sources("identity")
    return cached(folder / "a.frames", sources, 3, lambda: [*made, Fault("x", "x", ("broken",))], lambda: sources)


@pytest.mark.parametrize("boundary", ["zero", "bleed"])
def test_a_table_is_filled_with_normalized_frames(boundary: Boundary, tmp_path: Path) -> None:
    recordings = recorded([4, 2], tmp_path)
    made = FrameTable.of(recordings, cmn(recordings), boundary, "fp32", silent)
    expected = [features - features.mean(0) for features, _ in recordings.utterances()]
    assert torch.equal(made.features[made.centre], torch.cat(expected)) and made.labels.tolist() == [0, 0, 0, 0, 1, 1]
    gaps = torch.ones(len(made.features), dtype=torch.bool)
    gaps[made.centre] = False
    assert not made.features[gaps].any() and int(gaps.sum()) == GAP * (2 if boundary == "bleed" else 3)
    assert made.names == ("0-a", "1-a") and made.dropped == {"x": ["broken"]}


def test_a_bf16_table_takes_half_and_is_rounded_once(tmp_path: Path) -> None:
    recordings = recorded([40, 200], tmp_path)
    full, half = (FrameTable.of(recordings, cmn(recordings), "zero", dtype, silent) for dtype in ("fp32", "bf16"))
    assert half.features.nbytes * 2 == full.features.nbytes
    assert torch.equal(half.features, full.features.bfloat16())  # of the normalized frames, not of those in the files
    assert torch.equal(half.labels, full.labels) and torch.equal(half.centre, full.centre)


def test_windows_are_a_view_and_a_batch_is_not() -> None:
    made = table([4])
    assert made.windows(3).data_ptr() == made.features.data_ptr()
    assert batch(made, 3, [0]).untyped_storage().data_ptr() != made.features.untyped_storage().data_ptr()
