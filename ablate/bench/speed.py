"""How near a training is to what this machine's processor can do, and how far ahead of the course's loop.

`python -m ablate.bench.speed FOLDER ROUNDS` measures in a process of its own, and prints a JSON object.
"""

from __future__ import annotations

import copy
import json
import os
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
from ablate.bench.gpu import FULL, LARGE, PLAIN

if TYPE_CHECKING:
    from torch import nn

    from ablate.training.prepare import Training

_PROCESSES = 2  # which show how far runs of the benchmark differ
_MODELS = {"Linear ReLU": PLAIN, "BN GELU dropout": FULL}
_LOOP = ["data.context=20", "arch.depth=3", "arch.width=512", "batch_size=1024", *FULL]
_EPOCH = 8_000  # frames
_STREAMED = 150_000  # frames, of which a third at a time has room for all passes
_UTTERANCES = 60  # of the whole command
_WHOLE_ROUNDS = 2
_TIMES_THE_CACHE = 10
_CACHE = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")


@dataclass(frozen=True)
class _Pair:
    """What is measured, and what it is measured against; either gives the seconds of the same work."""

    ours: Callable[[], float]
    other: Callable[[], float]
    rounds: int | None = None  # fewer than the others', of what takes long


def speed(rounds: int) -> int:
    """Print a table: what is ours, the limit or the peer, and their ratio, in one process and from one to the next."""
    with tempfile.TemporaryDirectory(prefix="ablate-bench-") as name:
        data.make(Path(name, "corpus"), _UTTERANCES)
        command = [sys.executable, "-m", "ablate.bench.speed", name, str(rounds)]
        found = [json.loads(subprocess.check_output(command, text=True)) for _ in range(_PROCESSES)]
    print(f"{found[0]['machine']}; {rounds} rounds, alternated, in each of {_PROCESSES} processes")
    print("ratio: of speeds, ours to the other's; least and most of a round; medians of the processes\n")
    print(f"{'ours':42}  {'against':26}  {'ours':>8}  {'other':>8}  {'ratio':>5}")
    for line in found[0]["lines"]:
        of_process = [_ratios(each["lines"][line]) for each in found]
        ratios = sorted(ratio for each in of_process for ratio in each)
        ours, other = ([seconds for each in found for seconds in each["lines"][line][who]] for who in ("ours", "other"))
        medians = ", ".join(f"{statistics.median(each):.2f}" for each in of_process)
        what, against = line.split(" | ")
        print(
            f"{what:42}  {against:26}  {_shown(ours)}  {_shown(other)}  {statistics.median(ratios):5.2f}  "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}; {medians})"
        )
    return 0


def _ratios(seconds: dict[str, list[float]]) -> list[float]:
    return [other / ours for ours, other in zip(seconds["ours"], seconds["other"], strict=True)]


def _shown(seconds: Sequence[float]) -> str:
    median = statistics.median(seconds)
    return f"{median:6.2f} s" if median >= 1 else f"{1000 * median:5.1f} ms"


def main() -> None:
    """Measure all lines, alternated."""
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    seconds: dict[str, dict[str, list[float]]] = {}
    for line, pair in _lines(folder).items():
        pair.ours(), pair.other()  # what is done once only is not counted
        kept = seconds[line] = {"ours": [], "other": []}
        for _ in range(min(rounds, pair.rounds or rounds)):
            kept["ours"].append(pair.ours())
            kept["other"].append(pair.other())
    print(json.dumps({"machine": _machine(), "lines": seconds}))


def _lines(folder: Path) -> dict[str, _Pair]:
    found = {}
    for precision in ("fp32", "bf16"):
        given = [f"precision={precision}", f"data.dtype={precision}", "device=cpu", "epochs=1"]
        for name, model in _MODELS.items():
            overrides = [*given, *LARGE, "arch.width=1024", *model]
            found[f"a step of 5x1024 {name}, {precision} | its matrix products"] = _step(overrides)
        found[f"windows of 41 frames, {precision} | index_select of the view"] = _gather(precision)
        found[f"an epoch of 3x512, {precision} | the course's loop, fp32"] = _epoch([*given, *_LOOP])
    found["an epoch of 1x512, streamed by thirds, bf16 | held whole"] = _streamed()
    found["2 runs of 3x512 at once, a thread each | one after the other"] = _together(folder)
    found["a command of an epoch | the course's script"] = _whole(folder)
    return found


def _step(overrides: Sequence[str]) -> _Pair:
    """Steps as the training has them, gathering included, against the bare products of their layers."""
    from ablate.bench import made
    from ablate.training import step

    batch = 2048
    training = made.training(overrides, 100_000)
    frames = made.held(training)
    rows, labels = frames.first[-batch:], frames.labels[-batch:].long()
    training.model.train()
    return _Pair(_timed(lambda: step.step_on(training, frames, rows, labels)), _timed(made.products(training)))


def _gather(precision: str) -> _Pair:
    """A batch's windows from a table that no cache holds, as a training takes them, against the bare call."""
    import torch

    from ablate.bench import made
    from ablate.training import step

    size = _CACHE.read_text().strip() if _CACHE.exists() else "32768K"
    cache = int(size[:-1]) * {"K": 1024, "M": 1024**2}[size[-1]]
    frames = _TIMES_THE_CACHE * cache // (28 * (2 if precision == "bf16" else 4))
    given = [f"precision={precision}", f"data.dtype={precision}", "device=cpu", "data.context=20", "arch.width=8"]
    training = made.training(given, frames // 1000 * 1000)
    held = made.held(training)
    rows = held.first[torch.randint(len(held), (2048,))]
    return _Pair(
        _timed(lambda: step.gathered(training, held, rows), 20),
        _timed(lambda: held.windows.index_select(0, rows), 20),
    )


def _epoch(overrides: Sequence[str]) -> _Pair:
    """An epoch of training, against the course's dataset, loader and loop with the same model and optimizer."""
    import torch

    from ablate.bench import made, starter
    from ablate.training import step

    training = made.training(overrides, _EPOCH)
    table, context = training.train.table, 20
    frames = table.features.float()[table.centre.long()]
    padded = torch.nn.functional.pad(frames, (0, 0, context, context))
    loader = starter.loader(padded, table.labels.long(), context, training.config["batch_size"])
    model = _of_torchs_layers(training.model)
    optimizer = torch.optim.AdamW(model.parameters())
    return _Pair(
        _timed(lambda: step.learn(training, [], lambda: None, lambda *_: None)),
        _timed(lambda: starter.epoch(model, optimizer, loader)),
    )


def _streamed() -> _Pair:
    """An epoch whose frames pass through the device, a third of them at a time, against one that has them all there."""
    from ablate.bench import made
    from ablate.training import step

    given = ["precision=bf16", "data.dtype=bf16", "device=cpu", "epochs=1", *_LOOP, "arch.depth=1", "batch_size=256"]
    third = f"data.device_budget={_STREAMED * 28 * 2 / 3e9}"
    streamed, held = (made.training([*given, *more], _STREAMED) for more in ([third], []))

    def epoch(training: Training) -> Callable[[], float]:
        return _timed(lambda: step.learn(training, [], lambda: None, lambda *_: None))

    return _Pair(epoch(streamed), epoch(held), _WHOLE_ROUNDS)


def _of_torchs_layers(model: nn.Sequential) -> nn.Sequential:
    """A model of the same sizes as who does not have our layers has it, drawn as torch draws."""
    from torch import nn

    def torchs(layer: nn.Module) -> nn.Module:
        match layer:
            case nn.Linear():
                return nn.Linear(layer.in_features, layer.out_features, layer.bias is not None)
            case nn.Dropout():
                return nn.Dropout(layer.p)
        return copy.deepcopy(layer)

    return nn.Sequential(*map(torchs, model))


def _together(folder: Path) -> _Pair:
    """Two runs as a study has them: in two processes of a thread, and in one of two threads."""
    study = ["-m", "ablate.run", "--multirun", "study.seeds=2", "data=hw1p2", f"data.root={folder / 'corpus'}"]
    study += ["epochs=1", "device=cpu", "wandb.mode=disabled", *_LOOP]
    number = iter(range(1000))

    def run(more: Sequence[str]) -> Callable[[], float]:
        def timed() -> float:
            command = [
                sys.executable,
                *study,
                *more,
                f"output_dir={folder}",
                "rerun=true",
                f"study.name=s{next(number)}",
            ]
            return _seconds(command)

        return timed

    return _Pair(run(["hydra/launcher=processes", "hydra.launcher.n_jobs=2"]), run([]), _WHOLE_ROUNDS)


def _whole(folder: Path) -> _Pair:
    """The command, start included, once its data are cached, against a script of the course's way."""
    root = folder / "corpus"
    given = ["data=hw1p2", f"data.root={root}", f"output_dir={folder}", "epochs=1", "device=cpu", "wandb.mode=disabled"]
    ours = [sys.executable, "-m", "ablate.run", *given, *_LOOP, "rerun=true"]
    course = [sys.executable, "-m", "ablate.bench.starter", str(root), "train"]
    return _Pair(lambda: _seconds(ours), lambda: _seconds(course), _WHOLE_ROUNDS)


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def _timed(work: Callable[[], object], times: int = 1) -> Callable[[], float]:
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
        f"{found['cpu']}, {os.cpu_count()} cores, {kind}; torch {torch.__version__}, Python "
        f"{platform.python_version()}, {platform.system()}"
    )


if __name__ == "__main__":
    main()
