"""Steps that find their batch and rate on the device, against the plain ones; as a graph where there is a GPU."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ablate.recipe import optimizer as optimizers
from ablate.training import step
from ablate.training.graph import Captured, can_capture
from ablate.training.prepare import Training
from tests.trainings import prepared, run, trained

SMALL = ["data=espeak_tiny", "data.context=3", "arch.width=32", "epochs=3", "batch_size=512", "wandb.mode=disabled"]
MASKS = ["augmentation=time_freq_mask", "augmentation.frames=4", "augmentation.probability=0.5"]
WAYS = {
    "defaults": [],
    "dropout and masks": ["regularization=dropout", *MASKS],
    "noise, penalties, a clipped norm": [
        "augmentation=gaussian_noise", "regularization=grad_clip", "regularization.l1=1e-6", "regularization.l2=1e-5",
    ],
    "smoothed labels, clipped values": ["regularization.label_smoothing=0.1", "regularization.max_gradient=0.01"],
    "plateau": ["scheduler=plateau", "scheduler.patience=0", "scheduler.least_improvement=1", "optimizer=nesterov"],
    "sgd, an average": ["optimizer=sgd", "averaging=ema", "averaging.decay=0.9"],
    "momentum, bf16": ["optimizer=momentum", "precision=bf16", "data.dtype=bf16", "regularization=dropout"],
}  # fmt: skip


@pytest.fixture
def output_dir(tmp_path: Path, corpus_cache: Path) -> Path:
    (tmp_path / "cache").symlink_to(corpus_cache)
    return tmp_path


def learned(training: Training, captured: Captured | None) -> tuple[list[step.Learned], dict[str, Tensor]]:
    """Three epochs of it, and the model then."""
    rows: list[dict[str, Any]] = []
    found = []
    for epoch in range(3):
        found.append(step.learn(training, rows, lambda: None, lambda *state: None, captured))
        rows.append({"val/accuracy": 0.1 * epoch, "val/loss": 1.0})
    return found, training.model.state_dict()


@pytest.mark.parametrize("overrides", WAYS.values(), ids=WAYS)
def test_a_step_that_asks_nothing_of_the_host_gives_the_same_bits(overrides: list[str], output_dir: Path) -> None:
    plain, _ = prepared([*SMALL, "device=cpu", *overrides], output_dir)
    torch.manual_seed(0)
    expected = learned(plain, None)
    other, _ = prepared([*SMALL, "device=cpu", *overrides], output_dir)
    torch.manual_seed(0)
    found = learned(other, Captured(other, partial(step.step_on, other)))
    assert found[0] == expected[0]
    assert all(torch.equal(value, expected[1][name]) for name, value in found[1].items())
    assert other.optimizer.state_dict()["param_groups"] == plain.optimizer.state_dict()["param_groups"]


def test_on_a_cpu_there_is_nothing_to_capture(output_dir: Path) -> None:
    training, _ = prepared([*SMALL, "device=cpu"], output_dir)
    assert not can_capture(training) and step.captured(training) is None


def test_a_step_that_fails_leaves_the_optimizer_as_it_was(output_dir: Path) -> None:
    """As a capture may, after which steps are launched one by one, and a checkpoint is written."""
    training, _ = prepared([*SMALL, "device=cpu"], output_dir)
    before = training.optimizer.state_dict()["param_groups"]
    with pytest.raises(RuntimeError), optimizers.on_device(training.optimizer, torch.tensor(0.5)):
        raise RuntimeError
    assert training.optimizer.state_dict()["param_groups"] == before


OPTIMIZERS = "sgd momentum nesterov adam adamw nadam radam rmsprop adadelta".split()
GRAPHS = {**WAYS, **{name: [f"optimizer={name}", "regularization=dropout"] for name in OPTIMIZERS}}
GRAPHS |= {
    "fp16": ["precision=fp16", "optimizer=adam"],
    "fp16, clipped": ["precision=fp16", "regularization=grad_clip"],
}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("overrides", GRAPHS.values(), ids=GRAPHS)
def test_a_graph_gives_the_same_bits(overrides: list[str], output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a capture fails, and as launched from the host, whose rate two optimizers take in another way."""
    found = []
    for way in ("host", "refused", "graph"):
        training, folder = prepared([*SMALL, "device=cuda", *overrides], output_dir / way)
        assert can_capture(training)
        with monkeypatch.context() as changed:
            if way == "host":
                changed.setattr("ablate.training.loop.captured", lambda training: None)
            if way == "refused":
                changed.setattr(torch.cuda, "CUDAGraph", Unwilling)
            run(training, folder)
        epochs = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
        times = ("seconds", "frames_per_second")
        rows = [{name: value for name, value in row.items() if name not in times} for row in epochs]
        found.append((rows, (folder.path / "best.pt").read_bytes()))
    assert found[1] == found[2], "refused"
    if not {"optimizer=rmsprop", "optimizer=adadelta"} & set(overrides):
        assert found[0] == found[2], "host"
    assert found[0][0][-1]["train/loss"] == pytest.approx(found[2][0][-1]["train/loss"], rel=1e-3)


class Unwilling:
    """A graph that can't be."""

    def __init__(self) -> None:
        raise RuntimeError("no capture here")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_host_does_not_wait_in_a_captured_step(output_dir: Path) -> None:
    training, _ = prepared([*SMALL, "device=cuda", "regularization=dropout", *MASKS], output_dir)
    graph = step.captured(training)
    assert graph
    learned(training, graph)
    assert graph._graph and not graph.refused
    torch.cuda.set_sync_debug_mode("error")
    try:
        graph._done.zero_()
        for _ in range(3):
            graph.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("optimizer", ["sam", "adagrad", "adam_to_sgd"])
def test_what_can_not_be_captured_is_trained_from_the_host(optimizer: str, output_dir: Path) -> None:
    training, folder = prepared([*SMALL, "device=cuda", f"optimizer={optimizer}"], output_dir)
    assert not can_capture(training)
    assert run(training, folder).status == "finished"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("more", [[], ["optimizer=nadam", "regularization=dropout", *MASKS, "averaging=ema"]])
def test_a_resumed_run_ends_with_the_same_bits(more: list[str], output_dir: Path) -> None:
    _, whole = trained([*SMALL, "device=cuda", *more], output_dir / "whole")
    for epochs in (1, 2):
        training, folder = prepared([*SMALL, "device=cuda", *more], output_dir / "parts")
        run(training, folder, stop_after=epochs)
    _, parts = trained([*SMALL, "device=cuda", *more], output_dir / "parts")
    assert (parts.path / "best.pt").read_bytes() == (whole.path / "best.pt").read_bytes()
