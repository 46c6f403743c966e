"""A run that is killed again and again ends with the bits of an undisturbed one."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.record import layout

RUN = [
    "data=espeak_tiny", "data.context=5", "arch.width=128", "epochs=12", "regularization=dropout",
    "augmentation=time_freq_mask", "wandb.mode=disabled",
]  # fmt: skip
"""Every stream of random numbers is in use, and an epoch takes some tenths of a second."""

# A file's temporary sibling is there while it is written: the moment of the write itself.
WRITES = (layout.CHECKPOINT, layout.BEST, layout.ROWS, layout.UTTERANCES, layout.RESULT)  # the last ends the run
MOMENTS = ("start", "epoch", "validation", *WRITES)


@dataclass(frozen=True)
class Kill:
    """A `kill -9` that met a living run."""

    moment: str
    epochs: int  # whole ones in the record then


def kills(count: int, seed: int) -> int:
    """Kill runs at moments spread over all they do; 0 if each ended with the bits of an undisturbed one, else 1."""
    draw = random.Random(seed)
    moments = itertools.cycle(MOMENTS)
    done: list[Kill] = []
    with tempfile.TemporaryDirectory(prefix="ablate-bench-") as name:
        undisturbed = Path(name, "undisturbed")
        _start(undisturbed).wait()
        expected = bits(_run(undisturbed))
        (row,) = _rows(undisturbed)[-1:]
        print(f"undisturbed: {row['epoch']} epochs, {len(expected)} files, {row['seconds']:.2f} s an epoch")
        same = True
        for number in itertools.count(1):
            folder = Path(name, f"killed-{number}")
            shutil.copytree(undisturbed / "outputs" / "cache", folder / "outputs" / "cache")
            done += _kill_until_finished(folder, moments, draw, count - len(done), float(row["seconds"]))
            found = bits(_run(folder))
            different = [part for part in expected | found if expected.get(part) != found.get(part)]
            same = not different
            verdict = f"DIFFERENT in {', '.join(different)}" if different else "equal"
            print(f"run {number}: {len(done)} kills so far, bits {verdict}", flush=True)
            if len(done) >= count or not same:
                break
    for moment in MOMENTS:
        epochs = [kill.epochs for kill in done if kill.moment == moment]
        reached = f"{min(epochs)} to {max(epochs)}" if epochs else "no"
        print(f"{moment:15} {len(epochs):3} kills, of runs with {reached} epochs")
    ok = same and all(kill.epochs > 0 for kill in done)
    print(f"{len(done)} kills: {'the same bits every time' if ok else 'FAILED'}")
    return 0 if ok else 1


def _kill_until_finished(
    folder: Path, moments: Iterator[str], draw: random.Random, most: int, epoch_seconds: float
) -> list[Kill]:
    """Start the run, kill it at the next moment, start it again, until it has finished or met enough kills."""
    done: list[Kill] = []
    while not list(folder.glob(f"outputs/runs/*/{layout.RESULT}")):
        process = _start(folder)
        if len(done) < most and (kill := _kill_at(next(moments), folder, process, draw, epoch_seconds)):
            done.append(kill)
        process.wait()
        if process.returncode not in (0, -signal.SIGKILL):
            raise SystemExit(f"the run in {folder} ended with {process.returncode}; its log is in outputs/runs")
    return done


def _kill_at(
    moment: str, folder: Path, process: subprocess.Popen[bytes], draw: random.Random, epoch_seconds: float
) -> Kill | None:
    """Kill the process group at this moment; none if the run had ended before."""
    before = len(_rows(folder))
    if moment == "start" and before:
        delay = draw.uniform(0, 4)  # imports, data, checkpoint
        _wait(lambda: False, process, delay)
    else:
        if not _wait(lambda: len(_rows(folder)) > before, process):  # an epoch more than it had
            return None
        if moment in WRITES:
            pattern = f"outputs/runs/*/.{moment}.*.tmp"
            if not _wait(lambda: any(folder.glob(pattern)), process):
                return None
        else:
            share = draw.uniform(0.85, 1.0) if moment == "validation" else draw.uniform(0, 0.85)
            _wait(lambda: False, process, share * epoch_seconds)
    if process.poll() is not None:
        return None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return Kill(moment, len(_rows(folder))) if process.returncode == -signal.SIGKILL else None


def _wait(condition: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 600) -> bool:
    """Whether the condition came true while the process lived, within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if condition():
            return True
        time.sleep(0.0005)  # leave the cores to the run; a write takes longer
    return False


def _start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "ablate.run", *RUN], cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True
    )


def _run(folder: Path) -> Path:
    (run,) = folder.glob("outputs/runs/*")
    return run


def _rows(folder: Path) -> Sequence[dict[str, Any]]:
    files = list(folder.glob(f"outputs/runs/*/{layout.ROWS}"))
    return [json.loads(line) for line in files[0].read_text().splitlines()] if files else []


def bits(run: Path) -> dict[str, object]:
    """All that a run leaves, but for what a clock has written and the state of a checkout that is worked in."""
    timed = ("seconds", "frames_per_second")
    lines = (run / layout.ROWS).read_text().splitlines()
    rows = [{name: value for name, value in json.loads(line).items() if name not in timed} for line in lines]
    record = json.loads((run / layout.RESULT).read_text())
    result = {name: value for name, value in record.items() if name not in (*timed, "git_commit", "files")}
    names = (layout.BEST, layout.INFERENCE, layout.CONFUSION, layout.UTTERANCES, layout.CONFIG)
    files = {name: (run / name).read_bytes() for name in names}
    return {"rows": rows, "result": result, **files, "left": sorted(file.name for file in run.iterdir())}
