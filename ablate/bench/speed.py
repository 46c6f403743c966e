"""How near a training is to what this machine can do, and how far ahead of the course's loop.

`python -m ablate.bench.speed ROOT ROUNDS` measures in a process of its own, and prints a JSON object.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.bench import data

if TYPE_CHECKING:
    from ablate.training.prepare import Training

_PROCESSES = 2  # which show how far runs of the benchmark differ
_CONTEXT, _WIDTH, _DEPTH, _BATCH = 20, 1024, 5, 2048
_UTTERANCES = {"steps": 24, "whole": 110}  # of the course's kind: 30,000 frames, and a quarter of a small corpus
_STEPS = 4  # timed together
_TIMES_THE_CACHE = 10
_CACHE = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
_MODELS = {
    "Linear+ReLU": ["arch.norm=none", "arch.activation=relu"],
    "BN+GELU+Dropout": ["arch.norm=batch", "arch.activation=gelu", "regularization=dropout"],
}
_LOOP = ["data.context=20", "arch.width=512", "arch.depth=3", "batch_size=1024", "regularization=dropout"]


@dataclass(frozen=True)
class _Pair:
    """What is measured, and what it is measured against; either gives the seconds of the same work."""

    ours: Callable[[], float]
    other: Callable[[], float]


def speed(rounds: int) -> int:
    """Print a table: what is ours, the limit or the peer, and their ratio, in one process and from one to the next."""
    with tempfile.TemporaryDirectory(prefix="ablate-bench-") as name:
        for utterances in _UTTERANCES.values():
            data.make(Path(name, f"{utterances}"), utterances)
        command = [sys.executable, "-m", "ablate.bench.speed", name, str(rounds)]
        found = [json.loads(subprocess.check_output(command, text=True)) for _ in range(_PROCESSES)]
    print(f"{found[0]['machine']}; {rounds} rounds, alternated, in each of {_PROCESSES} processes")
    print("the ratio: of speeds, ours to the other's; least and most of a round, medians of the processes\n")
    print(f"{'ours':44}  {'against':30}  {'ours':>8}  {'other':>8}  {'ratio':>5}")
    for line in found[0]["lines"]:
        of_process = [_ratios(each["lines"][line]) for each in found]
        ratios = sorted(ratio for each in of_process for ratio in each)
        ours, other = ([seconds for each in found for seconds in each["lines"][line][who]] for who in ("ours", "other"))
        medians = ", ".join(f"{statistics.median(each):.2f}" for each in of_process)
        what, against = line.split(" | ")
        print(
            f"{what:44}  {against:30}  {_shown(ours)}  {_shown(other)}  {statistics.median(ratios):5.2f}  "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}; {medians})"
        )
    return 0


def _ratios(seconds: dict[str, list[float]]) -> list[float]:
    return [other / ours for ours, other in zip(seconds["ours"], seconds["other"], strict=True)]


def _shown(seconds: Sequence[float]) -> str:
    median = statistics.median(seconds)
    return f"{median:6.1f} s" if median >= 1 else f"{1000 * median:5.0f} ms"


def main() -> None:
    """Measure all lines, alternated."""
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    seconds: dict[str, dict[str, list[float]]] = {}
    for line, pair in _lines(folder).items():
        pair.ours(), pair.other()  # what is done once only is not counted
        kept = seconds[line] = {"ours": [], "other": []}
        for _ in range(rounds):
            kept["ours"].append(pair.ours())
            kept["other"].append(pair.other())
    print(json.dumps({"machine": _machine(), "lines": seconds}))


def _lines(folder: Path) -> dict[str, _Pair]:
    from ablate.training import machine

    machine.configure("cpu", "fp32", None)
    steps = [f"data.root={folder / str(_UTTERANCES['steps'])}", f"output_dir={folder}"]
    found = {}
    for precision in ("fp32", "bf16"):
        for name, model in _MODELS.items():
            training = _training([*steps, *model, f"precision={precision}", f"data.dtype={precision}", *_large()])
            found[f"step of {_DEPTH}x{_WIDTH} {name}, {precision} | its matrix products"] = _step(training)
        found[f"windows of 41 frames, {precision} | index_select of the view"] = _gather(precision)
    for precision in ("fp32", "bf16"):
        overrides = [*steps, *_LOOP, f"precision={precision}", f"data.dtype={precision}"]
        found[f"an epoch of 3x512, {precision} | the course's loop, fp32"] = _epoch(_training(overrides), folder)
    found["a command of an epoch | the course's script"] = _whole(folder)
    return found


def _large() -> list[str]:
    return [f"data.context={_CONTEXT}", f"arch.width={_WIDTH}", f"arch.depth={_DEPTH}", f"batch_size={_BATCH}"]


def _training(overrides: Sequence[str]) -> Training:
    from ablate.config.check import check_settings, instantiate
    from ablate.config.compose import compose, resolve
    from ablate.display import Screen
    from ablate.record.layout import Layout
    from ablate.training.prepare import prepare
    from ablate.training.session import Tables

    given = ["data=hw1p2", "device=cpu", "epochs=1", *overrides]
    config = check_settings(resolve(compose(given)), given)
    corpus = instantiate(config, "data")
    screen = Screen(quiet=True)
    fingerprint = corpus.fingerprint(Layout(Path(config["output_dir"])).cache, screen.track)
    return prepare(config, corpus, fingerprint, screen, Tables())


def _step(training: Training) -> _Pair:
    """Steps as the training has them, from gathered windows on, against the bare products of their layers."""
    import torch
    from torch import nn

    from ablate.training import step

    windows = step.gathered(training, training.train, training.train.first[:_BATCH])
    labels = training.train.labels[:_BATCH].long()
    dtype = torch.bfloat16 if training.config["precision"] == "bf16" else torch.float32
    weights = [layer.weight.detach().to(dtype) for layer in training.model if isinstance(layer, nn.Linear)]
    inputs = [torch.randn(_BATCH, weight.shape[1], dtype=dtype) for weight in weights]
    grads = [torch.randn(_BATCH, weight.shape[0], dtype=dtype) for weight in weights]

    def products() -> None:
        for layer, (weight, of, grad) in enumerate(zip(weights, inputs, grads, strict=True)):
            torch.mm(of, weight.t())
            torch.mm(grad.t(), of)
            if layer:
                torch.mm(grad, weight)

    training.model.train()
    return _Pair(_timed(lambda: step.step(training, windows, labels)), _timed(products))


def _gather(precision: str) -> _Pair:
    """A batch's windows from a table that no cache holds, as a training takes them, against the bare call."""
    import torch

    from ablate.recipe.data.table import FrameTable
    from ablate.training.data import Frames
    from ablate.training.step import widened

    size = _CACHE.read_text().strip() if _CACHE.exists() else "32768K"
    cache = int(size[:-1]) * {"K": 1024, "M": 1024**2}[size[-1]]
    frames = _TIMES_THE_CACHE * cache // (28 * (2 if precision == "bf16" else 4))
    table = FrameTable.blank(["one"], [frames], 28, dtype="bf16" if precision == "bf16" else "fp32")
    data = Frames.of(table, _CONTEXT, torch.device("cpu"))
    rows = data.first[torch.randint(frames, (_BATCH,))]
    return _Pair(
        _timed(lambda: widened(data.windows.index_select(0, rows), "bf16" if precision == "bf16" else "fp32"), 20),
        _timed(lambda: data.windows.index_select(0, rows), 20),
    )


def _epoch(training: Training, folder: Path) -> _Pair:
    """An epoch of training, against the course's dataset, loader and loop with the same model and optimizer."""
    import copy

    import torch

    from ablate.bench import starter
    from ablate.training import step

    frames, classes = starter.load(folder / str(_UTTERANCES["steps"]) / "train-clean-100", _CONTEXT)
    loader = starter.loader(frames, classes, _CONTEXT, training.config["batch_size"])
    model = copy.deepcopy(training.model)
    optimizer = torch.optim.AdamW(model.parameters())

    def ours() -> None:
        step.learn(training, [], lambda: None, lambda *_: None)

    return _Pair(_timed(ours, 1), _timed(lambda: starter.epoch(model, optimizer, loader), 1))


def _whole(folder: Path) -> _Pair:
    """The command, start included, once its data are cached, against a script of the course's way."""
    root = folder / str(_UTTERANCES["whole"])
    given = ["data=hw1p2", f"data.root={root}", f"output_dir={folder}", "epochs=1", "device=cpu", "wandb.mode=disabled"]
    ours = [sys.executable, "-m", "ablate.run", *given, *_LOOP, "rerun=true"]
    course = [sys.executable, "-m", "ablate.bench.starter", str(root), "train"]

    def run(command: list[str]) -> Callable[[], float]:
        return _timed(lambda: subprocess.run(command, check=True, capture_output=True), 1)

    return _Pair(run(ours), run(course))


def _timed(work: Callable[[], object], times: int = _STEPS) -> Callable[[], float]:
    """What gives the seconds of one of so many repetitions."""

    def timed() -> float:
        started = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - started) / times

    return timed


def _machine() -> str:
    import torch

    from ablate.training import machine

    found = machine.describe(torch.device("cpu"))
    kind = torch.backends.cpu.get_cpu_capability()
    return (
        f"{found['cpu']}, {found['threads']} threads, {kind}; torch {torch.__version__}, Python "
        f"{platform.python_version()}, {platform.system()}"
    )


if __name__ == "__main__":
    main()
