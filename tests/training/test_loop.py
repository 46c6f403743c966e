"""The loop: what it learns, that it repeats and resumes to the bit, and what it records."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.bench.made import held
from ablate.error import UserError
from ablate.record.key import RESULTS_VERSION
from ablate.record.store import RunFolder
from ablate.training import step
from ablate.training.prepare import Training
from tests.trainings import prepared, run, trained

SMALL = ["data=espeak_tiny", "data.context=3", "arch.width=32", "epochs=3", "batch_size=512", "wandb.mode=disabled"]


NEEDS_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture
def output_dir(tmp_path: Path, corpus_cache: Path) -> Path:
    (tmp_path / "cache").symlink_to(corpus_cache)
    return tmp_path


def rows(folder: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("seconds", "frames_per_second")}


def test_the_record_is_consistent_with_itself(output_dir: Path) -> None:
    training, folder = prepared(SMALL, output_dir)
    outcome = run(training, folder)
    assert outcome.status == "finished"
    epochs = rows(folder)
    assert [row["epoch"] for row in epochs] == [1, 2, 3]
    assert [row["step"] for row in epochs] == [training.steps_an_epoch * epoch for epoch in (1, 2, 3)]
    assert list(epochs[0]) == [
        "epoch", "step", "lr", "train/loss", "train/accuracy", "val/loss", "val/accuracy",
        "seconds", "frames_per_second",
    ]  # fmt: skip
    best = max(epochs, key=lambda row: row["val/accuracy"])
    assert outcome.metrics["best_epoch"] == best["epoch"] and outcome.metrics["val/accuracy"] == best["val/accuracy"]
    confusion = np.load(folder.path / "confusion.npy", allow_pickle=False)
    assert confusion.shape == (40, 40) and confusion.sum() == len(training.val)
    assert confusion.trace() / confusion.sum() == best["val/accuracy"]
    assert confusion.sum(1).tolist() == torch.bincount(training.val.labels.int(), minlength=40).tolist()
    with (folder.path / "utterances.csv").open() as file:
        utterances = list(csv.DictReader(file))
    assert [row["name"] for row in utterances] == list(training.val.table.names)
    assert [int(row["frames"]) for row in utterances] == training.val.table.lengths.tolist()
    assert sum(int(row["correct"]) for row in utterances) == confusion.trace()


def test_the_best_weights_give_the_best_accuracy_again_in_evaluation_mode(output_dir: Path) -> None:
    training, folder = prepared([*SMALL, "regularization=dropout"], output_dir)
    outcome = run(training, folder)
    training.model.load_state_dict(torch.load(folder.path / "best.pt", weights_only=True))
    training.model.eval()
    table, correct = training.val.table, 0
    with torch.no_grad():
        for features, labels in table.utterances():
            padded = torch.nn.functional.pad(features, (0, 0, 3, 3))
            windows = padded.unfold(0, 7, 1).transpose(1, 2).reshape(len(features), -1)
            correct += int((training.model(windows).argmax(1) == labels).sum())
    assert correct / len(table.labels) == pytest.approx(outcome.metrics["val/accuracy"], abs=2 / len(table.labels))


def test_it_learns(output_dir: Path) -> None:
    overrides = ["data=espeak_tiny", "data.context=3", "arch.width=128", "epochs=6", "batch_size=512"]
    outcome, folder = trained(overrides, output_dir)
    losses = [row["train/loss"] for row in rows(folder)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.6 * losses[0]
    assert (outcome.metrics["val/accuracy"] or 0) > 0.4


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["regularization=dropout", "augmentation=time_freq_mask", "augmentation.frames=4"],
        ["optimizer=sgd", "scheduler=constant", "precision=bf16"],
        pytest.param(["optimizer=adam", "precision=fp16", "regularization=l2"], marks=NEEDS_GPU, id="fp16"),
        ["regularization=early_stopping", "regularization.patience=1", "regularization.least_improvement=0.09"],
        ["optimizer=sam_adamw", "augmentation=gaussian_noise", "regularization=grad_clip", "regularization.l1=1e-6"],
        ["optimizer=adam_to_sgd", "optimizer.switch=0.5", "scheduler=plateau", "scheduler.patience=0"],
        ["averaging=swa", "averaging.start=0.34", "regularization=dropout"],
        ["averaging=ema", "averaging.decay=0.95", "optimizer=sam_adamw", "precision=bf16"],
    ],
    ids=["defaults", "dropout and masks", "bf16", None, "early stopping", "sam", "switch", "swa", "ema"],
)
def test_a_resumed_run_ends_with_the_same_bits(overrides: list[str], output_dir: Path) -> None:
    whole, whole_folder = trained([*SMALL, *overrides], output_dir)
    expected = {file.name: file.read_bytes() for file in whole_folder.path.iterdir()}
    expected_rows = [without_times(row) for row in rows(whole_folder)]
    with whole_folder.lease() as writer:
        writer.set_aside()

    for epochs in (1, 2):
        training, folder = prepared([*SMALL, *overrides], output_dir)
        status = run(training, folder, stop_after=epochs).status
        assert status == ("interrupted" if epochs < len(expected_rows) else "finished")
        assert len(rows(folder)) == epochs
    outcome, folder = trained([*SMALL, *overrides], output_dir)
    assert outcome.metrics == whole.metrics
    assert [without_times(row) for row in rows(folder)] == expected_rows
    for name in ("best.pt", "confusion.npy", "utterances.csv"):
        assert (folder.path / name).read_bytes() == expected[name], name


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_broken_checkpoint_is_refused_with_the_remedy(content: bytes, output_dir: Path) -> None:
    training, folder = prepared(SMALL, output_dir)
    (folder.path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"checkpoint.pt: not a checkpoint to go on from .*delete it"):
        run(training, folder)


def test_a_checkpoint_that_the_disk_has_damaged_is_refused(output_dir: Path) -> None:
    training, folder = prepared(SMALL, output_dir)
    run(training, folder, stop_after=1)
    file = folder.path / "checkpoint.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    training, folder = prepared(SMALL, output_dir)
    with pytest.raises(UserError, match=r"checkpoint.pt: not a checkpoint to go on from \(.* is damaged\); delete it"):
        run(training, folder)


class Hostile:
    """Unpickling it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("hostile-code-ran"),)


def test_a_hostile_checkpoint_runs_no_code(output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(output_dir)
    training, folder = prepared(SMALL, output_dir)
    torch.save({"key": folder.key, "model": Hostile()}, folder.path / "checkpoint.pt")
    with pytest.raises(UserError, match="delete it"):
        run(training, folder)
    assert not (output_dir / "hostile-code-ran").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"best_epoch": 99}, {"best_epoch": -5}, {"best_epoch": "x"}, {"rows": {}}, {"rows": []}, {"rows": [3]},
        {"rows": [{"epoch": 1, "val/accuracy": float("nan")}]}, {"rows": [{"epoch": 1}] * 120}, {"more": 1},
    ],
)  # fmt: skip
def test_a_checkpoint_of_nonsense_is_refused(change: dict[str, Any], output_dir: Path) -> None:
    training, folder = prepared(SMALL, output_dir)
    run(training, folder, stop_after=1)
    file = folder.path / "checkpoint.pt"
    content = torch.load(file, weights_only=True)
    content["progress"] |= change
    torch.save(content, file)
    training, folder = prepared(SMALL, output_dir)
    with pytest.raises(UserError, match=r"checkpoint.pt: not a checkpoint to go on from .*delete it"):
        run(training, folder)


def test_another_runs_checkpoint_is_refused(output_dir: Path) -> None:
    training, folder = prepared(SMALL, output_dir)
    run(training, folder, stop_after=1)
    other, other_folder = prepared([*SMALL, "seed=1"], output_dir)
    (other_folder.path / "checkpoint.pt").write_bytes((folder.path / "checkpoint.pt").read_bytes())
    with pytest.raises(UserError, match=f"it belongs to the run {folder.key}"):
        run(other, other_folder)


def test_divergence_is_a_result(output_dir: Path) -> None:
    overrides = [*SMALL, "optimizer=sgd", "optimizer.lr=1e30", "arch.norm=none", "arch.activation=relu"]
    outcome, folder = trained(overrides, output_dir)
    assert outcome.status == "diverged"
    (row,) = rows(folder)
    assert row["train/loss"] is None and row["val/accuracy"] is None
    assert outcome.metrics == dict.fromkeys(outcome.metrics)
    assert 0 < row["step"] <= 33


def test_the_short_last_batch_is_left_out(output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = ["data=espeak_tiny", "data.context=3", "epochs=2"]
    training, _ = prepared([*tiny, "batch_size=1000"], output_dir)
    assert training.steps_an_epoch == len(training.train) // 1000
    with pytest.raises(UserError, match=r"batch_size=999999: the training split has only \d+ frames"):
        prepared([*tiny, "batch_size=999999"], output_dir)
    sizes: list[int] = []
    update = step._step

    def counted(training: Training, windows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(len(labels))
        return update(training, windows, labels)

    monkeypatch.setattr(step, "_step", counted)
    step.learn(training, [], lambda: None, lambda *state: None)
    assert sizes == [1000] * training.steps_an_epoch


def test_every_frame_is_seen_once_an_epoch_in_an_order_of_its_own(output_dir: Path) -> None:
    training, _ = prepared(SMALL, output_dir)
    orders = [training.order.take() for _ in range(2)]
    assert all(torch.equal(order.sort().values.long(), torch.arange(len(training.train))) for order in orders)
    assert not torch.equal(*orders)
    neighbours = (orders[0].diff().abs() <= 8).float().mean()
    assert neighbours < 0.01, "chunks of neighbouring frames would be another experiment"


def test_streams_are_independent(output_dir: Path) -> None:
    """A component that draws more or less leaves the others' random numbers as they are."""
    plain, _ = prepared(SMALL, output_dir)
    masked, _ = prepared([*SMALL, "augmentation=freq_mask", "regularization=dropout"], output_dir)
    for first, second in zip(plain.model.parameters(), masked.model.parameters(), strict=True):
        assert torch.equal(first, second)
    step.learn(masked, [], lambda: None, lambda *state: None)
    step.learn(plain, [], lambda: None, lambda *state: None)
    assert torch.equal(plain.order.get_state(), masked.order.get_state())


def test_masks_touch_training_only(output_dir: Path) -> None:
    training, _ = prepared([*SMALL, "augmentation=time_mask", "augmentation.frames=4"], output_dir)
    before = training.train.table.features.clone(), training.augmentation_stream.state.clone()
    step.validate(training)
    assert torch.equal(training.augmentation_stream.state, before[1])
    step.learn(training, [], lambda: None, lambda *state: None)
    assert not torch.equal(training.augmentation_stream.state, before[1])
    assert torch.equal(training.train.table.features, before[0])


def test_the_update_uses_the_clipped_gradient(output_dir: Path) -> None:
    """With plain SGD the step is the rate times the gradient, whose length is at most the limit."""
    sam = ["optimizer=sam", "optimizer.momentum=0", "optimizer.lr=0.1"]
    for optimizer in (["optimizer=sgd"], sam):
        training, _ = prepared(
            [*SMALL, *optimizer, "scheduler=constant", "regularization.max_gradient_norm=0.01"], output_dir
        )
        before = torch.cat([p.detach().flatten() for p in training.model.parameters()])
        rows = held(training).first[:512]
        step._step(training, training.train.windows.index_select(0, rows), training.train.labels[:512].long())
        after = torch.cat([p.detach().flatten() for p in training.model.parameters()])
        assert float((after - before).norm()) == pytest.approx(0.1 * 0.01, rel=0.02)


def test_sams_second_look_counts_in_no_running_statistic(output_dir: Path) -> None:
    for optimizer in ("momentum", "sam"):
        training, _ = prepared([*SMALL, f"optimizer={optimizer}"], output_dir)
        norm = next(module for module in training.model if isinstance(module, torch.nn.BatchNorm1d))
        windows = training.train.windows.index_select(0, held(training).first[:512])
        expected = 0.1 * training.model[0](windows).mean(0).detach()
        step._step(training, windows, training.train.labels[:512].long())
        torch.testing.assert_close(norm.running_mean, expected)
        assert norm.num_batches_tracked == 1 and norm.track_running_stats


def test_early_stopping_restores_the_best(output_dir: Path) -> None:
    overrides = [*SMALL, "epochs=8", "optimizer.lr=0.3", "scheduler=constant", "regularization=early_stopping",
                 "regularization.patience=2"]  # fmt: skip
    training, folder = prepared(overrides, output_dir)
    outcome = run(training, folder)
    epochs = rows(folder)
    best = max(epochs, key=lambda row: row["val/accuracy"])
    assert len(epochs) == best["epoch"] + 2 < 8, "the example should stop early"
    assert outcome.metrics["val/accuracy"] == best["val/accuracy"] > epochs[-1]["val/accuracy"]
    training.model.load_state_dict(torch.load(folder.path / "best.pt", weights_only=True))
    assert step.validate(training).accuracy == best["val/accuracy"]


def test_plateau_lowers_the_rate_for_the_epochs_after_bad_ones(output_dir: Path) -> None:
    _, folder = trained(
        [*SMALL, "scheduler=plateau", "scheduler.patience=0", "scheduler.least_improvement=1"], output_dir
    )
    assert [row["lr"] for row in rows(folder)] == pytest.approx([1e-3, 1e-3, 3e-4])


def test_adam_becomes_sgd_after_the_fraction_of_the_run(output_dir: Path) -> None:
    training, folder = prepared([*SMALL, "optimizer=adam_to_sgd", "optimizer.switch=0.4"], output_dir)
    run(training, folder)
    shared = training.optimizer.param_groups[0]
    assert shared["steps"] == math.ceil(0.4 * training.num_steps) and shared["ratio"] > 0
    rates = [row["lr"] for row in rows(folder)]
    assert rates[0] < 1e-3 and rates[1] > 10 * rates[0], "the rate in effect is SGD's"
    with pytest.raises(UserError, match=r"optimizer.switch=0.999: comes behind the last of the run's"):
        prepared([*SMALL, "optimizer=adam_to_sgd", "optimizer.switch=0.999"], output_dir)


def test_the_loss_is_smoothed_in_training_only(output_dir: Path) -> None:
    smoothed, _ = prepared([*SMALL, "regularization=label_smoothing"], output_dir)
    plain, _ = prepared(SMALL, output_dir)
    assert step.validate(smoothed).loss == step.validate(plain).loss
    windows, labels = (
        smoothed.train.windows.index_select(0, held(smoothed).first[:512]), smoothed.train.labels[:512].long(),
    )  # fmt: skip
    assert step._step(smoothed, windows, labels)[0] != step._step(plain, windows, labels)[0]


def test_bleeding_windows_are_another_experiment(output_dir: Path) -> None:
    zero, _ = trained(SMALL, output_dir)
    bleed, _ = trained([*SMALL, "data.boundary=bleed"], output_dir)
    assert zero.metrics != bleed.metrics


@pytest.mark.parametrize(
    "more",
    [[], ["augmentation=time_freq_mask", "augmentation.frames=4", "augmentation.coefficients=6"], ["averaging=ema"]],
)
def test_a_bf16_table_gives_a_bf16_training_the_same_bits(more: list[str], output_dir: Path) -> None:
    full, _ = trained([*SMALL, *more, "precision=bf16"], output_dir)
    half, _ = trained([*SMALL, *more, "precision=bf16", "data.dtype=bf16"], output_dir)
    assert half.metrics == full.metrics
    other, _ = trained([*SMALL, "data.dtype=bf16"], output_dir)
    assert other.metrics != trained(SMALL, output_dir)[0].metrics  # but fp32 loses digits


def test_numbers_have_not_changed_unnoticed(output_dir: Path) -> None:
    """A change of these figures is a change of results: raise RESULTS_VERSION with them, on purpose."""
    training, _ = prepared(SMALL, output_dir)
    draw = torch.Generator().manual_seed(0)  # not the corpus: its bits may differ between machines
    training.train.table.features.copy_(torch.randn(training.train.table.features.shape, generator=draw))
    losses = [step.learn(training, [{}] * before, lambda: None, lambda *state: None).loss for before in (0, 1)]
    assert RESULTS_VERSION == 3
    assert losses == pytest.approx([3.743, 3.641], abs=2e-3)
