"""What the field throws at a command: wrong words, odd places, hostile files. Each is tried, and survived or named."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.bench import mistake
from ablate.bench.kills import bits
from ablate.error import clipped
from ablate.record import layout
from ablate.record.layout import Layout

RUN = [
    "data=espeak_tiny", "data.context=2", "arch.width=16", "arch.depth=1", "epochs=2", "wandb.mode=disabled",
]  # fmt: skip
_COMMAND = "ablate.run"  # by its name: no command imports another
_MOST_LINES = 6  # of what is said of a mistake
_MOST_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """How a command has ended: its exit code (none: it had to be killed), and what it said on stderr."""

    code: int | None
    said: str

    @property
    def is_told(self) -> bool:
        """Whether it was refused or failed in few lines, without a traceback."""
        lines = self.said.strip().splitlines()
        return self.code in (1, 2) and 0 < len(lines) <= _MOST_LINES and "Traceback" not in self.said


def faults(commands: int, seed: int, part: float) -> int:
    """Try all kinds, `part` of the places and files; 0 if all were survived, else 1."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="ablate-bench-") as name:
        folder = Path(name)
        first = folder / "undisturbed"
        if _ended(first, RUN).code != 0:
            raise SystemExit(f"{first}: the undisturbed run failed")
        places = draw.sample(list(PLACES), max(1, round(part * len(PLACES))))
        files = draw.sample(_files(), max(1, round(part * len(_files()))))
        wrong = [mistake.command(RUN, draw) for _ in range(commands)]
        tally = Tally()
        _load()
        for place in places:
            tally.add("place", place, _place(place, folder, first))
        for file, kind in files:
            tally.add("file", f"{kind} as {file}", _file(file, kind, folder, first))
        for words in wrong:
            tally.add("command", json.dumps(words), _command(words, folder, first))
        return tally.show()


@dataclass(frozen=True)
class Tally:
    """How many of each kind of fault were tried, and how many survived."""

    tried: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, what: str, went_wrong: str | None) -> None:
        """Count a fault, and say at once what went wrong."""
        self.tried[kind] += 1
        self.survived[kind] += went_wrong is None
        if went_wrong:
            print(clipped(f"FAILED: {kind} {what}: {went_wrong}"), flush=True)

    def show(self) -> int:
        """Print the counts; 0 if all were survived, else 1."""
        for kind, number in self.tried.items():
            print(f"{kind}: {number} tried, {self.survived[kind]} survived")
        return 0 if self.tried == self.survived else 1


def _command(arguments: list[str], folder: Path, first: Path) -> str | None:
    """What a command did wrong that may be wrong itself: it is refused and leaves nothing, or its runs are valid."""
    here = _like(first, folder / "command", with_run=False)
    ended = _forked(here, arguments)
    runs = list(here.glob("outputs/runs/*"))
    if ended.code == 0:
        without = [run.name for run in runs if not (run / layout.RESULT).exists()]
        return f"runs without a result: {without}" if without else None
    if ended.code != 2 or not ended.is_told:
        return f"exit code {ended.code}: {ended.said[-500:]!r}"
    return f"refused, and left {[run.name for run in runs]}" if runs else None


def _ends_well(here: Path, ended: Ended, first: Path) -> str | None:
    """What a run did wrong: it has the undisturbed one's bits, or it says why not, and has them the next time."""
    if ended.code != 0 and not ended.is_told:
        return f"exit code {ended.code}: {ended.said[-500:]!r}"
    if ended.code != 0 and (again := _forked(here, RUN)).code != 0:
        return f"said {ended.said[-300:]!r}, and once more, without the fault: {again.said[-300:]!r}"
    expected, found = (bits(next(iter(place.glob("outputs/runs/*")))) for place in (first, here))
    different = [name for name in expected if expected[name] != found.get(name)]
    return f"other bits: {', '.join(different)}" if different else None


# --- places ---


@dataclass(frozen=True)
class Place:
    """Where a command is given: environment variables (none: unset), what is done in its process first, its flags."""

    environment: Mapping[str, str | None] = field(default_factory=dict)
    prepare: Callable[[], object] = bool
    flags: Sequence[str] = ()
    vanishes: bool = False  # its output folder, as soon as it trains


def _limit(size: int) -> Callable[[], object]:
    """A disk that is full as soon as a file has this size."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _closed(*descriptors: int) -> Callable[[], object]:
    def close() -> None:
        for each in descriptors:
            os.close(each)

    return close


PLACES: dict[str, Place] = {
    "blanks and Unicode in the folder's name": Place(),
    "no HOME": Place({"HOME": None}),
    "a HOME that is not there": Place({"HOME": "/nonexistent"}),
    "TERM=dumb": Place({"TERM": "dumb"}),
    "NO_COLOR": Place({"NO_COLOR": "1"}),
    "20 columns": Place({"COLUMNS": "20"}),
    "a Turkish locale": Place({"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}),
    "a German locale": Place({"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}),
    "ASCII alone": Place({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "another hash seed": Place({"PYTHONHASHSEED": "12345"}),
    "python -O": Place(flags=["-O"]),
    "python -X dev": Place(flags=["-X", "dev", "-W", "ignore"]),
    "umask 077": Place(prepare=lambda: os.umask(0o077)),
    "umask 0": Place(prepare=lambda: os.umask(0)),
    "stdin closed": Place(prepare=_closed(0)),
    "stdout closed": Place(prepare=_closed(1)),
    "stdin and stdout closed": Place(prepare=_closed(0, 1)),
    "few open files": Place(prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))),
    "one thread, says the environment": Place({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}),
    "an output folder that vanishes": Place(vanishes=True),
    **{f"a disk that takes {size:,} bytes a file": Place(prepare=_limit(size)) for size in
       (0, 1, 100, 300, 1000, 3000, 10_000, 30_000, 60_000, 100_000, 300_000, 1_000_000)},
}  # fmt: skip


def _place(name: str, folder: Path, first: Path) -> str | None:
    here = _like(first, folder / ("Ümläut ş 例 b" if "Unicode" in name else "place"), with_run=False)
    return _ends_well(here, _ended(here, RUN, PLACES[name]), first)


# --- files ---

_OF_A_RUN = (
    layout.RESULT, layout.ROWS, layout.CONFIG, layout.BEST, layout.CHECKPOINT, layout.CONFUSION, layout.UTTERANCES,
    layout.LOG, layout.ERROR, layout.LEASE,
)  # fmt: skip
_KINDS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "nothing in it": lambda path: path.touch(),
    "half a number in it": lambda path: path.write_bytes(b"\x80\x02}q\x00(X\xff"),
    "brackets without end": lambda path: path.write_text("[" * 1_000_000),
    "a file of 300 GB": lambda path: os.truncate(_touched(path), 300 << 30),
}


def _touched(path: Path) -> Path:
    path.touch()
    return path


def _files() -> list[tuple[str, str]]:
    return [(name, kind) for name in (*_OF_A_RUN, "the cache") for kind in _KINDS]


def _file(name: str, kind: str, folder: Path, first: Path) -> str | None:
    """Put something into a file's place, in a run that is under way; a refusal names it, and without it all is well."""
    here = _like(first, folder / "file", with_run=name == layout.RESULT)
    (run,) = (Layout(here / "outputs").run(each.name) for each in first.glob("outputs/runs/*"))
    run.mkdir(parents=True, exist_ok=True)
    places = [run / name] if name != "the cache" else list(Layout(here / "outputs").cache.glob("*.frames"))
    for place in places:
        place.unlink(missing_ok=True)
        _KINDS[kind](place)
    ended = _forked(here, RUN)
    if ended.code != 0 and ended.is_told:
        if not any(place.name in ended.said for place in places):
            return f"not named: {ended.said[-300:]!r}"
        for place in places:
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
    return _ends_well(here, ended, first)


# --- commands ---


def _like(first: Path, here: Path, *, with_run: bool) -> Path:
    """A folder like the undisturbed one, its data in the cache, its run left out where it is to be trained."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(here)
    left_out = () if with_run else ("runs",)
    shutil.copytree(first / "outputs", here / "outputs", ignore=shutil.ignore_patterns(*left_out))
    return here


def _ended(here: Path, arguments: Sequence[str], place: Place = Place()) -> Ended:
    """Give the real command, and wait for its end."""
    here.mkdir(parents=True, exist_ok=True)
    changed = {**os.environ, **place.environment}
    process = subprocess.Popen(
        [sys.executable, *place.flags, "-m", "ablate.run", *arguments], cwd=here, preexec_fn=place.prepare,
        env={name: value for name, value in changed.items() if value is not None},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    if place.vanishes:
        _remove_once_it_trains(here / "outputs", process)
    try:
        _, said = process.communicate(timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, said = process.communicate()
        return Ended(None, said.decode(errors="replace"))
    return Ended(process.returncode, said.decode(errors="replace"))


def _load() -> None:
    """Import all that a command imports, so that a process that is forked from this one need not."""
    for module in (_COMMAND, "ablate.training.loop", "ablate.training.prepare"):
        importlib.import_module(module)


def _forked(here: Path, arguments: list[str]) -> Ended:
    """As `_ended`, in a process that has imported everything already: what a thousand commands can afford."""
    command = importlib.import_module(_COMMAND).command
    with tempfile.TemporaryFile() as said:
        if not (child := os.fork()):
            os.setsid()
            os.chdir(here)
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.dup2(said.fileno(), 2)
            sys.argv = ["ablate", *arguments]
            code = 1
            try:
                code = command(arguments)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)
        deadline = time.monotonic() + _MOST_SECONDS
        while not (status := os.waitpid(child, os.WNOHANG))[0]:
            time.sleep(0.005)
            if time.monotonic() > deadline:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return Ended(None, "")
        said.seek(0)
        return Ended(os.waitstatus_to_exitcode(status[1]), said.read().decode(errors="replace"))


def _remove_once_it_trains(folder: Path, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and not list(folder.glob(f"runs/*/{layout.ROWS}")):
        time.sleep(0.001)
    shutil.rmtree(folder, ignore_errors=True)
