"""A tenth of what the benchmark proves whole."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ablate.bench import data, made, speed, start, starter, verdicts
from ablate.config.check import instantiate
from ablate.recipe.data.table import FrameTable
from ablate.recipe.normalization import cmn
from ablate.training import step
from tests.trainings import checked


def test_killed_runs_end_with_the_undisturbed_runs_bits(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "ablate.bench", "kills", "--kills", "3", "--seed", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "3 kills: the same bits every time"


def test_the_corpus_is_the_starters_too_and_a_start_is_measured(tmp_path: Path) -> None:
    root, context = tmp_path / "hw1p2-30", 7
    assert data.make(root, 30) == [(30, 37_939), (3, 2_140)]
    made = root.stat().st_mtime_ns
    assert data.make(root, 30) == [(30, 37_939), (3, 2_140)] and root.stat().st_mtime_ns == made

    # The course's starter reads, concatenates, pads the two ends, and takes mfccs[i : i + 2 * context + 1].
    frames, classes = starter.load(root / "dev-clean", context)
    corpus = instantiate(checked(["data=hw1p2", f"data.root={root}"]), "data")
    recordings = corpus.load("val", seed=0, cache=tmp_path, track=lambda items, total, title: items)
    table = FrameTable.of(recordings, cmn(recordings), "bleed", "fp32", lambda items, total, title: items)
    windows = table.windows(context).index_select(0, table.centre - context).view(len(classes), -1, frames.shape[1])
    assert torch.equal(table.labels.long(), classes)
    assert torch.allclose(
        windows, torch.stack([frames[i : i + 2 * context + 1] for i in range(len(classes))]), atol=1e-4
    )

    seconds, memory = data._start([f"data.root={root}", f"output_dir={tmp_path}"])
    assert seconds > 0 and memory > data._table_bytes(30, 37_939, 4)
    with pytest.raises(SystemExit, match="it ended before it began to train"):
        data._start([f"data.root={tmp_path}"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_nothing_to_measure_of_one(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "ablate.bench", "gpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines() == [
        "ablate: gpu: expected an NVIDIA GPU that PyTorch can use, found none; nothing to measure"
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_measured(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "ablate.bench", "gpu", "--frames", "200000", "--rounds", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the same losses and weights to the bit") == 3


def test_speed_is_measured_of_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """On tiny models; the course's epoch has as many steps as ours, and the same frames."""
    monkeypatch.setattr(speed, "_EPOCH", 3000)
    monkeypatch.setattr(speed, "_TIMES_THE_CACHE", 1)
    steps: list[int] = []
    course = starter.epoch

    def counted(*given: Any) -> tuple[float, float]:
        steps.append(len(given[2]))
        return course(*given)

    monkeypatch.setattr(starter, "epoch", counted)
    tiny = ["arch.depth=1", "arch.width=8", "data.context=20", "device=cpu"]
    for pair in (speed._step([*tiny, "batch_size=2048"]), speed._gather("bf16"), speed._epoch([*tiny, "epochs=1"])):
        assert pair.ours() > 0 and pair.other() > 0
    assert steps == [3000 // 1024]


def test_made_up_frames_train_and_their_products_are_those_of_a_step() -> None:
    training = made.training(["arch.depth=2", "arch.width=8", "data.context=1", "device=cpu", "batch_size=64"], 2000)
    assert len(training.train) == 2000 and training.train.windows.shape[1] == 3 * 28
    assert training.train.labels.float().std() > 5
    learned = step.learn(training, [], lambda: None, lambda *state: None)
    assert learned.steps == 31 and 3 < learned.loss < 5
    multiply = made.products(training)
    with FlopCounterMode(display=False) as counter:
        multiply()
    # Forward, and backward to the weights; to the inputs of all but the first layer.
    expected = 2 * 64 * (2 * (84 * 8 + 8 * 8 + 8 * 40) + (8 * 8 + 8 * 40))
    assert counter.get_total_flops() == expected


def test_killed_members_finish_each_cell_once(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "ablate.bench", "team", "--kills", "2", "--seed", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 of 12 runs finished, 0 records rewritten, 0 with other bits" in done.stdout.splitlines()[-1]


def test_simulated_studies_are_judged_right_about_as_often_as_is_promised() -> None:
    draw = np.random.default_rng(1)
    nothing = verdicts.simulate(verdicts._nothing, draw, (10, 3), 300)
    assert nothing.wrong <= 0.08 and nothing.covered and 0.935 <= nothing.covered <= 0.965
    large = verdicts.simulate(verdicts._large, draw, (10, 3), 300)
    assert large.power and large.power >= 0.74 and large.wrong <= 0.08
    at_the_margin = verdicts.simulate(verdicts._at_the_margin, draw, (10, 5), 300).equal
    assert at_the_margin is not None and at_the_margin <= 0.05
    assert verdicts.looks(draw, (4, 3), 300) <= 0.09


def test_faults_are_survived(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "ablate.bench", "faults", "--commands", "20", "--part", "0.1", "--kills", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "command: 20 tried, 20 survived" in done.stdout


def test_a_start_is_measured_in_imports_of_what_it_can_not_do_without(capsys: pytest.CaptureFixture[str]) -> None:
    assert start.start(rounds=1) in (0, 1)  # how fast is this machine's affair
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "import hydra", "--help", "a mistake in a group's node", "an unknown key", "a finished run's answer",
        "import torch", "a tiny run, data cached",
    ]  # fmt: skip
    assert all("times import" in line for line in lines if not line.startswith("import"))
