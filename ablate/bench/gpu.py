"""How near a training comes to what a GPU can do, launched from the host and as a graph, alone and several at once.

`python -m ablate.bench.gpu` is one of several that share the GPU: it trains when it is told to, and prints how fast.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ablate.error import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.training.graph import Captured
    from ablate.training.prepare import Training
    from ablate.training.step import Learned

_COURSE = 36_091_157  # frames of train-clean-100
PLAIN = ["arch.norm=none", "arch.activation=relu"]
FULL = ["arch.norm=batch", "arch.activation=gelu", "regularization=dropout"]
"""What stands beside the products of the models that are measured: as little as can be, and what is usual."""

LARGE = ["arch.depth=5", "data.context=20", "batch_size=2048"]

_MODELS = {
    "5x1024 ReLU": ["arch.width=1024", *PLAIN],
    "5x1024 BN GELU dropout": ["arch.width=1024", *FULL],
    "5x1037 BN GELU dropout, as of a budget": ["arch.width=1037", *FULL],
}
_SMALL = ["arch.depth=3", "arch.width=512", "data.context=10", "batch_size=1024", "regularization=dropout"]
_TOGETHER = (1, 2, 4, 8)
_EPOCHS = 5  # of each that shares the GPU
_SIDE = 8192  # of the large product's matrices
_COPIED = 1 << 30  # bytes


def gpu(frames: int, rounds: int) -> int:
    """Print the table; 0 if a graph's numbers are those of the same steps launched from the host, else 1."""
    import torch

    if not torch.cuda.is_available():
        raise UserError("gpu: expected an NVIDIA GPU that PyTorch can use, found none; nothing to measure")
    half = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    print(f"{torch.cuda.get_device_name()}; torch {torch.__version__}, CUDA {torch.version.cuda}; {half}")
    print(f"floor: a product of {_SIDE} x {_SIDE} {_product(half):,.0f} TFLOP/s, a copy {_copy():.2f} TB/s", flush=True)
    print(f"\n{'an epoch of ' + f'{frames:,}' + ' frames, a step':40}{'products':>10}{'host':>10}{'graph':>10}  ratio")
    codes = [_compare(name, [*model, *LARGE], half, frames, rounds) for name, model in _MODELS.items()]
    _stream(half, frames, rounds)
    print(f"\n{'runs of 3x512 at once':40}{'all':>14}{'each':>14}  against one", flush=True)
    alone = 0.0
    for number in _TOGETHER:
        speeds = _at_once(number, half)
        alone = alone or sum(speeds)
        print(
            f"{number:<40}{sum(speeds):>12,.0f}/s{statistics.mean(speeds):>12,.0f}/s  {sum(speeds) / alone:.2f}",
            flush=True,
        )
    return max(codes)


def _compare(name: str, overrides: list[str], precision: str, frames: int, rounds: int) -> int:
    """A line: microseconds a step of its products, launched from the host, as a graph; 1 where the two differ."""
    from ablate.bench import made
    from ablate.training import step

    given = [*overrides, f"precision={precision}", "data.dtype=bf16" if precision == "bf16" else "data.dtype=fp32"]
    given += ["device=cuda", f"epochs={rounds + 1}"]
    ways: dict[str, tuple[Training, Captured | None]] = {}
    for way in ("host", "graph"):
        training = made.training(given, frames)
        ways[way] = training, step.captured(training) if way == "graph" else None
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    learned: dict[str, list[Learned]] = {way: [] for way in ways}
    states = dict.fromkeys(ways, _random_state())
    for number in range(rounds + 1):
        for way, (training, graph) in ways.items():
            _set_random_state(states[way])
            started = time.perf_counter()
            learned[way].append(step.learn(training, [{}] * number, lambda: None, lambda *state: None, graph))
            seconds[way].append(time.perf_counter() - started)
            states[way] = _random_state()
    steps = ways["graph"][0].steps_an_epoch
    host, graph_ = (1e6 * statistics.median(seconds[way][1:]) / steps for way in ways)
    ratios = [slow / fast for slow, fast in zip(seconds["host"][1:], seconds["graph"][1:], strict=True)]
    limit = 1e6 * _seconds_of(_replayed(made.products(ways["graph"][0])))
    print(f"{name:40}{limit:>7.0f} us{host:>7.0f} us{graph_:>7.0f} us  {statistics.median(ratios):.2f}", end="")
    print(f" ({min(ratios):.2f} to {max(ratios):.2f})")
    whole = statistics.median(seconds["graph"][1:]) * _COURSE / frames
    print(f"{'':4}an epoch of 36 M frames: {whole:.1f} s; the products alone {1e-6 * limit * _COURSE / 2048:.1f} s")
    same = learned["host"] == learned["graph"] and _same_weights(ways["host"][0], ways["graph"][0])
    print("    the same losses and weights to the bit" if same else "    NOT the same losses and weights", flush=True)
    return 0 if same else 1


def _stream(precision: str, frames: int, rounds: int) -> None:
    """A line: an epoch whose frames pass through the device in shards, against one that has them there."""
    from ablate.bench import made
    from ablate.training import step

    dtype, size = ("bf16", 2) if precision == "bf16" else ("fp32", 4)
    given = [*_MODELS["5x1024 BN GELU dropout"], *LARGE, f"precision={precision}", f"data.dtype={dtype}"]
    given += ["device=cuda", f"epochs={rounds + 1}"]
    budget = frames * 28 * size / 4e9
    seconds: dict[str, list[float]] = {"held": [], "streamed": []}
    trainings = [made.training([*given, *more], frames) for more in ([], [f"data.device_budget={budget}"])]
    graphs = [step.captured(training) for training in trainings]
    for number in range(rounds + 1):
        for way, training, graph in zip(seconds, trainings, graphs, strict=True):
            started = time.perf_counter()
            step.learn(training, [{}] * number, lambda: None, lambda *state: None, graph)
            seconds[way].append(time.perf_counter() - started)
    ratios = [held / streamed for held, streamed in zip(*(each[1:] for each in seconds.values()), strict=True)]
    print(
        f"streamed through a quarter of its {frames * 28 * size / 1e9:.2f} GB: {statistics.median(ratios):.2f} of the "
        f"speed of what is held whole ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def _same_weights(one: Training, other: Training) -> bool:
    import torch

    return all(map(torch.equal, one.model.parameters(), other.model.parameters()))


def _random_state() -> Tensor:
    import torch

    return torch.cuda.get_rng_state()


def _set_random_state(state: Tensor) -> None:
    import torch

    torch.cuda.set_rng_state(state)


def _replayed(work: Callable[[], None]) -> Callable[[], None]:
    """The work as a graph, so that no launch is counted."""
    import torch

    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(side):
        work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def _product(half: str) -> float:
    """TFLOP/s of a large product."""
    import torch

    dtype = torch.bfloat16 if half == "bf16" else torch.float16
    one, other = (torch.randn(_SIDE, _SIDE, device="cuda", dtype=dtype) for _ in range(2))
    return 2 * _SIDE**3 / _seconds_of(lambda: torch.mm(one, other)) / 1e12


def _copy() -> float:
    """TB/s, read and written."""
    import torch

    one, other = (torch.ones(_COPIED, device="cuda", dtype=torch.uint8) for _ in range(2))
    return 2 * _COPIED / _seconds_of(lambda: other.copy_(one)) / 1e12


def _seconds_of(work: Callable[[], object], times: int = 20, rounds: int = 5) -> float:
    """Of one repetition, by the device's clock; the median of rounds."""
    import torch

    found = []
    for _ in range(rounds + 1):  # of which the first warms up
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        for _ in range(times):
            work()
        end.record()
        torch.cuda.synchronize()
        found.append(float(begin.elapsed_time(end)) / 1000 / times)
    return statistics.median(found[1:])


def _at_once(number: int, precision: str) -> list[float]:
    """Frames a second of each of so many processes that train on the GPU at the same time."""
    command = [sys.executable, "-m", "ablate.bench.gpu", precision]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen(command, **pipes) for _ in range(number)]  # type: ignore[call-overload]
    for run in runs:
        run.stdout.readline()
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    speeds = [float(run.stdout.readline()) for run in runs]
    for run in runs:
        run.communicate()
    return speeds


def main() -> None:
    """One of several: get ready, wait for the word, train."""
    from ablate.bench import made
    from ablate.training import step

    precision, frames = sys.argv[1], 1_000_000
    training = made.training([*_SMALL, f"precision={precision}", "device=cuda", f"epochs={_EPOCHS + 1}"], frames)
    graph = step.captured(training)
    step.learn(training, [], lambda: None, lambda *state: None, graph)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    for epoch in range(_EPOCHS):
        step.learn(training, [{}] * (epoch + 1), lambda: None, lambda *state: None, graph)
    print(_EPOCHS * frames / (time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()
