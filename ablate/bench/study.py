"""A study of four members that are killed again and again, and what a study costs beside its trainings."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ablate.bench.kills import bits
from ablate.record import layout, store
from ablate.record.layout import Layout
from ablate.record.store import RunFolder

_MEMBERS = 4
_TINY = ["data=espeak_tiny", "wandb.mode=disabled", "study.name=bench", "--multirun"]
_STUDY = [
    *_TINY, "data.context=5", "arch.width=64", "epochs=8", "threads=1", "regularization=dropout",
    "arch=cylinder,pyramid,diamond", "study.seeds=4",
]  # fmt: skip
"""12 runs: three arms on four seeds, one for each member."""


def team(count: int, seed: int) -> int:
    """Kill four members' processes while they train; 0 if all cells end once, with an undisturbed study's bits."""
    with tempfile.TemporaryDirectory(prefix="ablate-bench-") as name:
        undisturbed, killed = Path(name, "undisturbed"), Path(name, "killed")
        started = time.monotonic()
        _start(undisturbed, _STUDY).wait()
        expected = {run.name: bits(run) for run in undisturbed.glob("outputs/runs/*")}
        epochs = _epochs(undisturbed)
        print(f"undisturbed: {len(expected)} runs, {epochs} epochs, {time.monotonic() - started:.0f} s", flush=True)
        shutil.copytree(undisturbed / "outputs" / "cache", killed / "outputs" / "cache")

        draw = random.Random(seed)
        moments = [0.95 * epochs * (number + draw.random()) / count for number in range(count)]
        done, rewritten = _kill_members(killed, moments, draw)
        found = {run.name: bits(run) for run in killed.glob("outputs/runs/*")}
        different = [key for key in expected | found if _but_member(expected.get(key)) != _but_member(found.get(key))]
        coverage = _start(killed, [*_STUDY, f"team.size={_MEMBERS}", "study.coverage=true"]).wait()
    ok = not different and not rewritten and coverage == 0 and done == count
    print(
        f"{done} kills: {len(found)} of {len(expected)} runs finished, {rewritten} records rewritten, "
        f"{len(different)} with other bits, coverage exit code {coverage}: {'as it should be' if ok else 'FAILED'}"
    )
    return 0 if ok else 1


def _kill_members(folder: Path, moments: list[float], draw: random.Random) -> tuple[int, int]:
    """Start the members until all is finished; kill one that trains at each moment, in epochs recorded by all.

    Gives the number of kills and of finished records that were written again.
    """
    living: dict[int, subprocess.Popen[bytes]] = {}
    finished: dict[str, tuple[int, int]] = {}
    done = rewritten = 0
    to_do = set(range(1, _MEMBERS + 1))
    while to_do:
        for member in to_do - set(living):
            living[member] = _start(folder, [*_STUDY, f"team.size={_MEMBERS}", f"team.member={member}"])
        time.sleep(0.05)
        for result in folder.glob(f"outputs/runs/*/{layout.RESULT}"):
            written = (result.stat().st_ino, result.stat().st_mtime_ns)
            rewritten += finished.setdefault(result.parent.name, written) != written
        training = [member for member, process in living.items() if _trains(folder, process.pid)]
        if training and done < len(moments) and _epochs(folder) >= moments[done]:
            member = draw.choice(training)
            time.sleep(draw.uniform(0, 0.2))  # wherever in its epoch that is
            os.killpg(living[member].pid, signal.SIGKILL)
            if living.pop(member).wait() == -signal.SIGKILL:
                done += 1
                print(f"kill {done}: member {member}, {len(finished)} runs finished", flush=True)
        for member, process in list(living.items()):
            if process.poll() == 0:
                to_do.discard(member)
            elif process.poll() is not None:
                raise SystemExit(f"member {member} ended with exit code {process.returncode}")
            if process.poll() is not None:
                del living[member]
    return done, rewritten


def overhead(cells: int) -> int:
    """Print what a study of finished cells takes when it is asked again, and what lies between two runs."""
    with tempfile.TemporaryDirectory(prefix="ablate-bench-") as name:
        folder = Path(name)
        rates = ",".join(f"{0.001 + number * 1e-6:.6f}" for number in range(cells // 8))
        study = [*_TINY, "data.context=0", "arch.depth=0", "epochs=1", "arch=cylinder,pyramid", "optimizer=sgd,adamw"]
        study += [f"optimizer.lr={rates}", "study.seeds=2", "data.utterances={train: 20, val: 4, test: 1}",
                  "data.speakers={train: 10, val: 2, test: 1}", "batch_size=64"]  # fmt: skip
        started = time.monotonic()
        code = _start(folder, study).wait()
        whole = time.monotonic() - started
        runs = [json.loads(file.read_text()) for file in folder.glob(f"outputs/runs/*/{layout.RESULT}")]
        ends = {run["key"]: (folder / "outputs/runs" / run["key"] / layout.RESULT).stat().st_mtime for run in runs}
        in_order = sorted(runs, key=lambda run: ends[run["key"]])
        between = [
            ends[later["key"]] - ends[earlier["key"]] - later["seconds"]
            for earlier, later in itertools.pairwise(in_order)
        ]
        print(f"{len(runs)} runs in {whole:.1f} s, exit code {code}")
        print(f"between two runs: median {statistics.median(between):.3f} s, 90th percentile "
              f"{statistics.quantiles(between, n=10)[-1]:.3f} s")  # fmt: skip
        again = [_seconds(folder, study) for _ in range(3)]
        start = [_seconds(folder, ["--help"]) for _ in range(3)]
        print(f"the finished study asked again: {_shown(again)}; the bare command's start: {_shown(start)}")
        looked_up = _lookup_seconds(folder / "many", 10_000)
        print(f"what has become of 10,000 recorded runs, and how fast they were: {looked_up:.2f} s")
        arms = ["normalization=cmn,cmvn,minmax,zscore,none", "optimizer=sgd,adamw,adam,nadam,rmsprop",
                f"optimizer.lr={','.join(f'{0.001 * (1 + number)}' for number in range(80))}"]  # fmt: skip
        planned = [_seconds(folder, [*_TINY, *arms, "study.dry_run=true", "study.name=more"]) for _ in range(2)]
        print(f"a dry run of 2,000 arms: {_shown(planned)}")
    return code


def _lookup_seconds(output_dir: Path, number: int) -> float:
    """To look up so many recorded runs."""
    keys = [f"{run:016x}" for run in range(number)]
    places = Layout(output_dir)
    for key in keys:
        places.run(key).mkdir(parents=True)
        record = {"key": key, "status": "finished", "metrics": {"val/accuracy": 0.5}, "seconds": 1.0, "cost": 1.0}
        record |= {"machine": {"name": "here"}, "data_fingerprint": "data", "overrides": ["seed=0"] * 9}
        (places.run(key) / layout.RESULT).write_text(json.dumps(record))
    started = time.perf_counter()
    found = [RunFolder(places, key).status() for key in keys]
    store.seconds_per_cost(places, ["data"], 200)
    assert set(found) == {"finished"}
    return time.perf_counter() - started


def _start(folder: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    given = list({argument.partition("=")[0]: argument for argument in arguments}.values())
    return subprocess.Popen(
        [sys.executable, "-m", "ablate.run", *given], cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True
    )


def _seconds(folder: Path, arguments: list[str]) -> float:
    started = time.monotonic()
    _start(folder, arguments).wait()
    return time.monotonic() - started


def _shown(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"


def _epochs(folder: Path) -> int:
    """Recorded by all runs."""
    return sum(file.read_bytes().count(b"\n") for file in folder.glob(f"outputs/runs/*/{layout.ROWS}"))


def _trains(folder: Path, pid: int) -> bool:
    """Whether a process has a run under way."""
    for lease in folder.glob(f"outputs/runs/*/{layout.LEASE}"):
        try:
            if json.loads(lease.read_text())["pid"] == pid:
                return True
        except (OSError, ValueError):
            continue
    return False


def _but_member(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """A run's bits without what differs by intention: who ran it."""
    if found is None:
        return None
    result = {name: value for name, value in found["result"].items() if name not in ("member", "overrides")}
    return found | {"result": result, layout.CONFIG: None}
