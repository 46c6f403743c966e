"""A split in shards against the same split held whole: each frame once an epoch, each window as it is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from operator import mul
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ablate.bench.made import held
from ablate.error import UserError
from ablate.recipe.data.table import FrameTable
from ablate.training.data import Frames
from ablate.training.shards import Streamed
from ablate.training.step import measure_batch_norms
from tests.trainings import prepared, run, trained

CPU = torch.device("cpu")
SMALL = ["data=espeak_tiny", "data.context=3", "arch.width=32", "epochs=3", "batch_size=512", "wandb.mode=disabled"]
STREAMED = [*SMALL, "batch_size=64", "data.device_budget=0.0016"]


def table_of(lengths: list[int], boundary: str = "zero") -> FrameTable:
    """Whose frames have numbers of their own, in the features and, as far as a byte goes, the labels."""
    table = FrameTable.blank([str(number) for number in range(len(lengths))], lengths, 2, boundary)  # type: ignore[arg-type]
    count = 1
    for features, labels in table.utterances():
        numbers = torch.arange(count, count + len(features))
        features.copy_(torch.stack([numbers, -numbers], 1))
        labels.copy_(numbers % 251)
        count += len(features)
    return table


class Pool:
    """Does what it is given at once, or not before its result is asked for."""

    def __init__(self, is_eager: bool) -> None:
        self._is_eager = is_eager

    def submit(self, work: Callable[..., int], *given: Any) -> Pending:
        return Pending(partial(work, *given), self._is_eager)


class Pending:
    """What a pool has been given."""

    def __init__(self, work: Callable[[], int], is_eager: bool) -> None:
        self._work, self._is_eager = cache(work), is_eager
        if is_eager:
            self._work()

    def done(self) -> bool:
        return self._is_eager

    def result(self) -> int:
        return self._work()


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.builds(mul, st.lists(st.integers(1, 40), min_size=9, max_size=90), st.sampled_from([1, 10])),
    context=st.integers(0, 5),
    batch_size=st.integers(1, 30),
    more=st.floats(1.0, 5.0),
    boundary=st.sampled_from(["zero", "bleed"]),
    seed=st.integers(0, 99),
    is_eager=st.booleans(),
)
def test_each_frame_is_seen_once_an_epoch_in_its_own_window(
    lengths: list[int], context: int, batch_size: int, more: float, boundary: str, seed: int, is_eager: bool
) -> None:
    """Whatever the shards, and however fast they are read: what a step looks at lies on the device when it does."""
    table = table_of(lengths, boundary)
    whole = Frames.of(table, context, CPU)
    with pytest.raises(ValueError) as refused:
        Streamed(table, context, CPU, 1, batch_size)
    least = float(str(refused.value).split()[3]) if "at least" in str(refused.value) else 0
    assume(least)
    streamed = Streamed(table, context, CPU, round(least * 1e9 * more), batch_size)
    streamed._pool = Pool(is_eager)  # type: ignore[assignment]
    generator = torch.Generator().manual_seed(seed)
    for _ in range(2):
        rows, labels = streamed.begin(streamed.draw(generator))
        seen = []
        for step in range(len(rows) // batch_size + (len(rows) % batch_size > 0)):
            streamed.before(step)
            batch = slice(step * batch_size, (step + 1) * batch_size)
            windows = streamed.windows.index_select(0, rows[batch].long())
            frames = windows.view(len(windows), -1, 2)[:, context, 0].long() - 1
            assert torch.equal(windows, whole.windows.index_select(0, whole.first[frames].long()))
            assert torch.equal(labels[batch], whole.labels[frames])
            seen.append(frames)
        assert torch.equal(torch.cat(seen).sort().values, torch.arange(len(whole)))


def test_a_batch_is_drawn_from_seven_shards() -> None:
    """All through the epoch, in another order each time."""
    streamed = Streamed(table_of([50] * 400), 2, CPU, 8 * 8 * 600, 16)
    epoch, other = (streamed.draw(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert len(epoch.shards) > 80
    assert sorted(torch.cat(epoch.shards).tolist()) == sorted(4 * list(range(400)))
    assert epoch.shards[0].tolist() != other.shards[0].tolist() != sorted(other.shards[0].tolist())
    for begin in range(0, len(epoch.rows) - 200, 200):
        assert len(set((epoch.rows[begin : begin + 200] // streamed._slot).tolist())) in (7, 8)  # in two rounds
    assert (epoch.rows.diff().abs() <= 3).float().mean() < 0.02


@pytest.mark.parametrize("short", [1, 2, 3, 49])
def test_a_short_utterance_costs_no_passes(short: int) -> None:
    budget = 8 * 8 * 600
    assert Streamed(table_of([50] * 400), 2, CPU, budget, 16).passes == 4
    streamed = Streamed(table_of([50] * 399 + [short]), 2, CPU, budget, 16)
    assert streamed.passes == 4
    rows, _ = streamed.begin(streamed.draw(torch.Generator().manual_seed(0)))
    assert len(rows) == 50 * 399 + short


@pytest.mark.parametrize("context", [0, 10])
def test_the_least_budget_named_is_one_that_will_do(context: int) -> None:
    for batch_size in range(1, 40):
        with pytest.raises(ValueError, match="expected at least") as refused:
            Streamed(table_of([50] * 400), context, CPU, 1, batch_size)
        named = float(str(refused.value).split()[3])
        assert Streamed(table_of([50] * 400), context, CPU, round(named * 1e9), batch_size).passes
        with pytest.raises(ValueError, match="expected at least"):
            Streamed(table_of([50] * 400), context, CPU, round(0.89 * named * 1e9), batch_size)


def test_a_batch_of_nearly_all_frames_needs_room_for_the_whole() -> None:
    for batch_size in (990, 992, 1000):
        with pytest.raises(ValueError, match=r"expected 1.7e-05 GB, which hold the whole split"):
            Streamed(table_of([50] * 20), 2, CPU, 100, batch_size)


def test_a_run_learns_as_from_the_whole_and_repeats_and_resumes_to_the_bit(tmp_path: Path, corpus_cache: Path) -> None:
    (tmp_path / "cache").symlink_to(corpus_cache)
    whole, _ = trained([*SMALL, "batch_size=64"], tmp_path)
    training, folder = prepared(STREAMED, tmp_path)
    assert isinstance(training.train, Streamed)
    outcome = run(training, folder)
    assert outcome.metrics["val/accuracy"] == pytest.approx(whole.metrics["val/accuracy"], abs=0.03)
    assert outcome.data_digest == whole.data_digest
    expected = (folder.path / "best.pt").read_bytes()
    with folder.lease() as writer:
        writer.set_aside()
    for epochs in (1, 2):
        training, folder = prepared(STREAMED, tmp_path)
        run(training, folder, stop_after=epochs)
    again, folder = trained(STREAMED, tmp_path)
    assert again.metrics == outcome.metrics and (folder.path / "best.pt").read_bytes() == expected


def test_the_batch_norms_of_an_average_are_measured_on_what_is_streamed(tmp_path: Path, corpus_cache: Path) -> None:
    """Nearly as on the whole, and the same each time; each frame but the last few is looked at once."""
    (tmp_path / "cache").symlink_to(corpus_cache)
    training, folder = prepared([*STREAMED, "averaging=ema", "epochs=1"], tmp_path)
    run(training, folder)
    seen = list(training.train.spread(8192))
    assert [len(rows) for rows in seen] == [64] * training.steps_an_epoch
    norms = [module for module in training.validated.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    assert norms and norms[0].num_batches_tracked == training.steps_an_epoch
    measured = [torch.as_tensor(norm.running_mean).clone() for norm in norms]
    measure_batch_norms(training)
    assert all(map(torch.equal, measured, [torch.as_tensor(norm.running_mean) for norm in norms]))
    whole, _ = prepared([*SMALL, "batch_size=64"], tmp_path)
    layer = next(module for module in training.validated.modules() if isinstance(module, torch.nn.Linear))
    first = layer(whole.train.windows.index_select(0, held(whole).first)).detach()
    torch.testing.assert_close(measured[0], first.mean(0), rtol=0, atol=5e-3)


def test_what_fits_is_held_whole(tmp_path: Path, corpus_cache: Path) -> None:
    (tmp_path / "cache").symlink_to(corpus_cache)
    training, _ = prepared([*SMALL, "data.device_budget=1"], tmp_path)
    assert isinstance(training.train, Frames)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["batch_size=64", "data.device_budget=1e-5"],
            r"data.device_budget=1e-05: expected at least 0.0016 GB for batches of 64 frames, or 0.0023 GB, which hold",
        ),
        (
            ["batch_size=4096", "data.device_budget=1e-5"],
            r"=1e-05: expected 0.0023 GB, which hold the whole split; give more, or a smaller batch_size",
        ),
        (["data.device_budget=0"], "data.device_budget: expected greater than 0, found 0"),
    ],
)
def test_a_budget_that_can_not_be_is_refused(
    overrides: list[str], said: str, tmp_path: Path, corpus_cache: Path
) -> None:
    (tmp_path / "cache").symlink_to(corpus_cache)
    with pytest.raises(UserError, match=said):
        prepared([*SMALL, *overrides], tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_sees_the_same_frames(tmp_path: Path, corpus_cache: Path) -> None:
    (tmp_path / "cache").symlink_to(corpus_cache)
    outcomes = [trained([*STREAMED, f"device={device}"], tmp_path / device)[0] for device in ("cpu", "cuda")]
    assert outcomes[0].metrics["train/loss"] == pytest.approx(outcomes[1].metrics["train/loss"], rel=1e-3)
