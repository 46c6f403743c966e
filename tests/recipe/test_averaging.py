"""Averages against means by hand of the weights that the same training has without one; their batch norms; resumes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablate.bench.made import held
from ablate.error import UserError
from ablate.recipe.averaging import Averaging, ema
from ablate.record.key import key
from ablate.record.store import RunFolder
from ablate.training import step
from ablate.training.prepare import Training
from tests.trainings import checked, prepared, run, trained

SMALL = [
    "data=espeak_tiny", "data.context=3", "arch.width=32", "epochs=3", "batch_size=512", "threads=1",
    "wandb.mode=disabled",
]  # fmt: skip

Weights = dict[str, Tensor]


@pytest.fixture
def output_dir(tmp_path: Path, corpus_cache: Path) -> Path:
    (tmp_path / "cache").symlink_to(corpus_cache)
    return tmp_path


def weights_of(model: nn.Module) -> Weights:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def weights_after_each_step(overrides: list[str], output_dir: Path) -> tuple[list[Weights], int]:
    """Those of the training without an average, and its steps an epoch."""
    training, _ = prepared(overrides, output_dir)
    seen: list[Weights] = []
    for before in range(training.config["epochs"]):
        step.learn(training, [{}] * before, lambda: seen.append(weights_of(training.model)), lambda *state: None)
    return seen, training.steps_an_epoch


def averaging_of(training: Training) -> Averaging:
    assert training.averaging
    return training.averaging


def best(folder: RunFolder) -> Weights:
    weights: Weights = torch.load(folder.path / "best.pt", weights_only=True)
    return weights


def rows(folder: RunFolder, *without: str) -> list[dict[str, Any]]:
    timed = ("seconds", "frames_per_second", *without)
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in timed} for line in lines]


@pytest.mark.parametrize(
    ("start", "counting"), [(0, [1, 2, 3]), (0.34, [2, 3]), (0.75, [3])], ids=["every epoch", "two", "the last alone"]
)
def test_swa_is_the_mean_of_the_weights_at_the_ends_of_its_epochs(
    start: float, counting: list[int], output_dir: Path
) -> None:
    """To the bit as a running mean in float32, and within torch's tolerance of the plain mean in float64."""
    seen, steps = weights_after_each_step(SMALL, output_dir)
    training, folder = prepared([*SMALL, "averaging=swa", f"averaging.start={start}"], output_dir)
    outcome = run(training, folder)

    def mean(epochs: list[int]) -> Weights:
        ends = [seen[epoch * steps - 1] for epoch in epochs]
        found = dict(ends[0])
        for count, end in enumerate(ends[1:], start=1):
            found = {name: value + (end[name] - value) / (count + 1) for name, value in found.items()}
        for name, value in found.items():
            plain = torch.stack([end[name].double() for end in ends]).mean(0)
            torch.testing.assert_close(value, plain.float())
        return found

    assert averaging_of(training).mean.n_averaged == len(counting)
    last = weights_of(averaging_of(training).mean.module)
    assert all(torch.equal(last[name], value) for name, value in mean(counting).items())
    best_epoch = int(outcome.metrics["best_epoch"] or 0)
    assert best_epoch in counting, "the example should be best late"
    kept = best(folder)
    assert all(
        torch.equal(kept[name], value) for name, value in mean(counting[: counting.index(best_epoch) + 1]).items()
    )


@pytest.mark.parametrize(
    ("overrides", "ramp"),
    [
        ([], 9),
        (["optimizer=sam"], 0),
        (["optimizer=adam_to_sgd", "optimizer.switch=0.5"], 9),
        (["precision=bf16"], 2.5),
    ],
    ids=["adamw", "sam", "switch", "bf16"],
)
def test_ema_follows_each_step(overrides: list[str], ramp: float, output_dir: Path) -> None:
    """Within torch's tolerance of the recursion in float64."""
    seen, _ = weights_after_each_step([*SMALL, *overrides], output_dir)
    ema = ["averaging=ema", "averaging.decay=0.9", f"averaging.ramp={ramp}"]
    training, folder = prepared([*SMALL, *overrides, *ema], output_dir)
    run(training, folder)
    assert 0.9 * (len(seen) + ramp) < len(seen), "the example should outlast the ramp"
    assert averaging_of(training).mean.n_averaged == len(seen) == training.num_steps
    for name, value in averaging_of(training).mean.module.named_parameters():
        expected = seen[0][name].double()
        for number, weights in enumerate(seen[1:], start=2):
            left = min(0.9, number / (number + ramp))
            expected = left * expected + (1 - left) * weights[name].double()
        torch.testing.assert_close(value.detach(), expected.float())
        assert not torch.allclose(value, seen[-1][name])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_ema_does_not_wait_for_the_device_each_step() -> None:
    averaging = ema(nn.Linear(3, 2, device="cuda"), 1, 9, decay=0.9, ramp=9.0)
    averaging.follow(1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(2, 10):
            averaging.follow(number)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("averaging", ["swa", "ema"])
def test_the_training_itself_is_as_without_an_average(averaging: str, output_dir: Path) -> None:
    more = ["regularization=dropout", "augmentation=time_freq_mask", "augmentation.frames=4"]
    outcome, folder = trained([*SMALL, *more], output_dir)
    averaged, its_folder = trained([*SMALL, *more, f"averaging={averaging}"], output_dir)
    of_validation = ("val/loss", "val/accuracy")
    assert rows(its_folder, *of_validation) == rows(folder, *of_validation)
    assert averaged.num_params == outcome.num_params
    plain, kept = best(folder), best(its_folder)
    assert {name: value.shape for name, value in kept.items()} == {name: value.shape for name, value in plain.items()}


def test_before_the_first_epoch_that_counts_the_model_itself_is_validated(output_dir: Path) -> None:
    _, folder = trained(SMALL, output_dir)
    _, its_folder = trained([*SMALL, "averaging=swa"], output_dir)
    assert rows(its_folder)[:2] == rows(folder)[:2] and rows(its_folder)[2] != rows(folder)[2]


def test_a_run_that_stops_before_the_average_has_begun_keeps_the_models_weights(output_dir: Path) -> None:
    early = ["epochs=8", "optimizer.lr=0.3", "scheduler=constant", "regularization=early_stopping",
             "regularization.patience=2"]  # fmt: skip
    outcome, folder = trained([*SMALL, *early], output_dir)
    assert len(rows(folder)) < 8, "the example should stop early"
    averaged, its_folder = trained([*SMALL, *early, "averaging=swa", "averaging.start=0.99"], output_dir)
    assert averaged.metrics == outcome.metrics
    assert (its_folder.path / "best.pt").read_bytes() == (folder.path / "best.pt").read_bytes()


@pytest.mark.parametrize("position", ["before", "after"])
def test_batch_norms_have_the_statistics_of_the_training_frames(
    position: str, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, layer by layer in float64, from batches that are spread over the split."""
    monkeypatch.setattr(step, "_EVALUATION_BATCH", 3000)
    more = ["regularization=dropout", f"arch.norm_position={position}", "averaging=ema", "averaging.decay=0.9"]
    training, folder = prepared([*SMALL, *more], output_dir)
    run(training, folder)
    model, data = averaging_of(training).mean.module, held(training)
    assert isinstance(model, nn.Sequential)
    batches = math.ceil(len(data) / 3000)
    assert batches > 1 and len(data) % batches, "the example should have batches of two sizes"
    layers = [data.windows.index_select(0, data.first[batch::batches]).double() for batch in range(batches)]
    for module in model:
        if isinstance(module, nn.Linear):
            bias = 0 if module.bias is None else module.bias.double()
            layers = [batch @ module.weight.double().T + bias for batch in layers]
        elif isinstance(module, nn.BatchNorm1d):
            mean = torch.stack([batch.mean(0) for batch in layers]).mean(0)
            variance = torch.stack([batch.var(0, correction=1) for batch in layers]).mean(0)
            torch.testing.assert_close(module.running_mean, mean.float())
            torch.testing.assert_close(module.running_var, variance.float(), rtol=1e-5, atol=1e-5)
            layers = [
                (batch - batch.mean(0)) / (batch.var(0, correction=0) + module.eps).sqrt() * module.weight + module.bias
                for batch in layers
            ]
        elif not isinstance(module, nn.Dropout):
            layers = [module(batch) for batch in layers]
    first = next(module for module in model if isinstance(module, nn.BatchNorm1d))
    if position == "before":
        everything = nn.Sequential(model[0])(data.windows.index_select(0, data.first)).detach()
        torch.testing.assert_close(first.running_mean, everything.mean(0), rtol=0, atol=2e-3)
        torch.testing.assert_close(first.running_var, everything.var(0), rtol=1e-2, atol=0)


def test_measuring_batch_norms_draws_no_random_number_and_repeats(output_dir: Path) -> None:
    more = ["regularization=dropout", "augmentation=time_freq_mask", "augmentation.frames=4", "averaging=ema"]
    training, folder = prepared([*SMALL, *more], output_dir)
    run(training, folder)
    states = (torch.get_rng_state(), training.order.get_state(), training.augmentation_stream.state)
    trained_statistics = [buffer.clone() for buffer in training.model.buffers()]
    statistics = [buffer.clone() for buffer in training.validated.buffers()]
    step.measure_batch_norms(training)
    again = (torch.get_rng_state(), training.order.get_state(), training.augmentation_stream.state)
    assert all(map(torch.equal, states, again))
    assert statistics and all(map(torch.equal, statistics, training.validated.buffers()))
    assert all(map(torch.equal, trained_statistics, training.model.buffers()))


@pytest.mark.parametrize(("norm", "passes"), [("batch", True), ("layer", False), ("none", False)])
def test_without_batch_norms_there_is_no_pass(norm: str, passes: bool, output_dir: Path) -> None:
    training, _ = prepared([*SMALL, f"arch.norm={norm}", "averaging=ema"], output_dir)
    averaging = averaging_of(training)
    averaging.follow(1)
    calls: list[int] = []
    averaging.mean.module.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    step.measure_batch_norms(training)
    assert sum(calls) == (len(training.train) if passes else 0)


@pytest.mark.parametrize("averaging", ["swa", "ema"])
def test_a_run_that_diverges_with_an_average_is_diverged(averaging: str, output_dir: Path) -> None:
    overrides = [*SMALL, "optimizer=sgd", "optimizer.lr=1e30", "arch.norm=none", f"averaging={averaging}"]
    outcome, folder = trained([*overrides, *(["averaging.start=0"] if averaging == "swa" else [])], output_dir)
    assert outcome.status == "diverged" and outcome.metrics == dict.fromkeys(outcome.metrics)
    assert not (folder.path / "best.pt").exists()


def test_weights_that_become_nan_in_an_epochs_last_step_are_divergence(output_dir: Path) -> None:
    """The epoch's loss is finite then, and only validation tells."""
    training, folder = prepared([*SMALL, "averaging=ema"], output_dir)
    averaging = averaging_of(training)

    def poisoned(number: int) -> None:
        if number == training.steps_an_epoch:
            with torch.no_grad():
                next(training.model.parameters()).fill_(math.nan)
        averaging.follow(number)

    object.__setattr__(training, "averaging", Averaging(averaging.mean, poisoned))
    assert run(training, folder).status == "diverged"
    (row,) = rows(folder)
    assert row["train/loss"] is not None and row["val/loss"] is None


def test_a_checkpoint_has_an_average_only_where_there_is_one(output_dir: Path) -> None:
    contents = {}
    for averaging in ("none", "ema"):
        training, folder = prepared([*SMALL, f"averaging={averaging}"], output_dir)
        run(training, folder, stop_after=1)
        contents[averaging] = set(torch.load(folder.path / "checkpoint.pt", weights_only=True))
    assert contents["none"] == {"key", "progress", "model", "optimizer", "scaler", "random"}
    assert contents["ema"] == contents["none"] | {"averaging"}


def test_an_option_is_another_key_and_none_is_that_of_before_there_was_one(output_dir: Path) -> None:
    config: dict[str, Any] = dict(checked([]))
    before = key({name: value for name, value in config.items() if name != "averaging"}, "data")
    assert key(config, "data") == key(checked(["averaging=none"]), "data") == before
    lines = ["averaging=swa", "averaging=swa averaging.start=0", "averaging=ema", "averaging=ema averaging.decay=0.9"]
    keys = {before, *(key(checked(line.split()), "data") for line in lines)}
    assert len(keys) == 1 + len(lines)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["averaging=swa", "averaging.start=1.5"], "averaging.start: expected less than 1, found 1.5"),
        (["averaging=swa", "averaging.start=1"], "averaging.start: expected less than 1, found 1"),
        (["averaging=swa", "averaging.start=-0.1"], "averaging.start: expected greater than or equal to 0, found -0.1"),
        (["averaging=ema", "averaging.decay=1"], "averaging.decay: expected less than 1, found 1"),
        (["averaging=ema", "averaging.decay=null"], "averaging.decay: expected a valid number, found None"),
    ],
)
def test_what_is_no_average_is_refused_before_data_are_loaded(
    overrides: list[str], said: str, output_dir: Path
) -> None:
    with pytest.raises(UserError) as refused:
        prepared([*SMALL, *overrides], output_dir / "other")
    assert str(refused.value) == said
    assert not (output_dir / "other").exists()
