"""What it takes to load a corpus of the course's size: the first time, again, and as the course's starter does it."""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from ablate.recipe.data.corpus import GAP
from ablate.recipe.data.phoneme import PHONEMES

_MFCC = 28
_FULL_SIZE = {"train-clean-100": (28_539, 36_091_157), "dev-clean": (2_703, 1_928_204)}  # utterances, frames
_SPELLED = np.array(["[SIL]", *PHONEMES[1:]])
_BYTES = {"fp32": 4, "bf16": 2}
_READY = "run "  # how the line begins that a run says when it has its data and starts to train


def data(utterances: int, rounds: int, folder: Path) -> int:
    """Print time and peak memory of starts on a synthetic corpus, made in `folder` unless it is there.

    A start is the real command from its beginning to the first step of its training. Gives the exit code.
    """
    root = folder / f"hw1p2-{utterances}"
    sizes = make(root, utterances)
    print(f"{root}: {', '.join(f'{number:,} utterances, {frames:,} frames' for number, frames in sizes)}")
    tables = {dtype: sum(_table_bytes(*size, bytes_each) for size in sizes) for dtype, bytes_each in _BYTES.items()}
    output = folder / f"{root.name}-outputs"
    shutil.rmtree(output, ignore_errors=True)
    make(folder / "hw1p2-20", 20)
    _, bare = _start([f"data.root={folder / 'hw1p2-20'}", f"output_dir={output}", "batch_size=64"])
    print(f"the command's memory without data: {bare / 1e9:.2f} GB")
    command = [f"data.root={root}", f"output_dir={output}"]
    _show("first start", [_start(command)], tables["fp32"], bare)
    ways = {
        "start again": lambda: _start(command),
        "start again, data.dtype=bf16": lambda: _start([*command, "data.dtype=bf16"]),
        "start again, data.fraction=0.1": lambda: _start([*command, "data.fraction=0.1"]),
        "start again, normalization=zscore": lambda: _start([*command, "normalization=zscore"]),
        "the starter's loading": lambda: _starter(root),
    }
    measured: dict[str, list[tuple[float, int]]] = {way: [] for way in ways}
    for _, way in itertools.product(range(rounds), ways):
        measured[way].append(ways[way]())
    for way, figures in measured.items():
        _show(way, figures, tables["bf16" if "bf16" in way else "fp32"], bare)
    pairs = zip(measured["the starter's loading"], measured["start again"], strict=True)
    ratios = [slow / fast for (slow, _), (fast, _) in pairs]
    print(
        f"the starter's loading takes {statistics.median(ratios):.1f} times as long as a start "
        f"({min(ratios):.1f} to {max(ratios):.1f})"
    )
    return 0


def _table_bytes(utterances: int, frames: int, bytes_each: int) -> int:
    """Features with their gaps, labels and centres of a split."""
    return (frames + GAP * (utterances + 1)) * _MFCC * bytes_each + frames * (1 + 4)


def _show(way: str, figures: Sequence[tuple[float, int]], table: int, bare: int) -> None:
    seconds = [time for time, _ in figures]
    peak = max(memory for _, memory in figures)
    spread = f" ({min(seconds):.1f} to {max(seconds):.1f})" if len(seconds) > 1 else ""
    print(
        f"{way:35} {statistics.median(seconds):6.1f} s{spread}; at most {peak / 1e9:.2f} GB of memory, for the data "
        f"{(peak - bare) / table:.2f} times the tables' {table / 1e9:.2f} GB",
        flush=True,
    )


def _start(overrides: Sequence[str]) -> tuple[float, int]:
    """Seconds until a run begins to train, and its peak memory until then; it is ended there."""
    command = [sys.executable, "-m", "ablate.run", "data=hw1p2", "arch.depth=0", "data.context=0", *overrides]
    started = time.perf_counter()
    with subprocess.Popen([*command, "wandb.mode=disabled"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        peak = _Peak(process.pid)
        ready = any(line.startswith(_READY) for line in process.stdout)
        seconds = time.perf_counter() - started
        memory = peak.stop()
        process.kill()
    if not ready:
        raise SystemExit(f"it ended before it began to train: {shlex.join(command)}")
    return seconds, memory


class _Peak(threading.Thread):
    """Looks at the memory of a process again and again."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._stopped = threading.Event()
        self._bytes = 0
        self.start()

    def run(self) -> None:
        """Until it is stopped or the process has ended."""
        with contextlib.suppress(psutil.Error):
            while not self._stopped.wait(0.01):
                self._bytes = max(self._bytes, self._process.memory_info().rss)

    def stop(self) -> int:
        """The most that was seen."""
        self._stopped.set()
        self.join()
        return self._bytes


def _starter(root: Path) -> tuple[float, int]:
    command = [sys.executable, "-m", "ablate.bench.starter", str(root)]
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - started, int(done.stdout)


def make(root: Path, utterances: int) -> list[tuple[int, int]]:
    """Write a corpus in the course's layout if it is not there; utterances and frames of each split."""
    done = root / "made.json"
    if not done.exists():
        share = utterances / _FULL_SIZE["train-clean-100"][0]
        draw = np.random.default_rng(0)
        means = draw.standard_normal((len(PHONEMES), _MFCC), np.float32) * np.linspace(12, 1, _MFCC, dtype=np.float32)
        sizes = []
        for split, (number, frames) in _FULL_SIZE.items():
            wanted = max(2, round(share * number))
            lengths = _lengths(draw, wanted, round(frames * wanted / number))
            _write_split(root / split, lengths, means, draw)
            sizes.append((wanted, int(lengths.sum())))
        done.write_text(json.dumps(sizes))
    return [(number, frames) for number, frames in json.loads(done.read_text())]


def _lengths(draw: np.random.Generator, utterances: int, frames: int) -> np.ndarray:
    """Utterances' lengths as LibriSpeech's spread, with so many frames in all."""
    lengths = np.clip(draw.gamma(6, size=utterances), 0.6, 12)
    ends = np.round(lengths.cumsum() / lengths.sum() * frames).astype(int)
    return np.diff(ends, prepend=0)


def _write_split(folder: Path, lengths: np.ndarray, means: np.ndarray, draw: np.random.Generator) -> None:
    for part in ("mfcc", "transcript"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    print(f"making {folder}: {len(lengths):,} utterances, {lengths.sum():,} frames", flush=True)
    for number, length in enumerate(lengths.tolist()):
        runs = draw.integers(4, 14, size=length // 4 + 1)  # frames of a phoneme
        labels = np.repeat(draw.integers(0, len(PHONEMES), len(runs)), runs)[:length]
        features = means[labels] + 2 * draw.standard_normal((length, _MFCC), np.float32)
        name = f"{len(lengths)}{number // 110:04d}-{number // 10:05d}-{number:04d}.npy"
        np.save(folder / "mfcc" / name, features)
        np.save(folder / "transcript" / name, np.concatenate([["[SOS]"], _SPELLED[labels], ["[EOS]"]]))
