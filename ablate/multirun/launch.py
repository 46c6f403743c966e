"""The runs of a multirun, launched: one by one here, or all at once, here or elsewhere, by whatever launcher of Hydra.

Launchers differ in what they tell, and when. So a run that is launched elsewhere tells its command itself, by way of a
folder that both see, and sees there whether it is still wanted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from ablate.command.refusal import in_words
from ablate.config.compose import failed, failure
from ablate.display import Screen, duration
from ablate.error import BusyError, CalledOffError, UserError
from ablate.interruption import Interruption
from ablate.multirun import allotment, slurm
from ablate.record.claim import SILENCE_SECONDS
from ablate.record.dispatch import Kind, Message
from ablate.training.job import job_of
from ablate.training.run import attend, free_memory, identify
from ablate.training.session import Session

_PARENT = os.getppid()
_PAUSE_SECONDS = 2.0
_LOOK_SECONDS = 0.3  # between two looks for what runs elsewhere have told
_MOST_LOSSES = 2  # of the process of a run, before it counts as failed
_STOPPING = "stopping: each run ends after its epoch; once more stops at once"


def cell(session: Session, composed: DictConfig) -> str:
    """What a launcher calls for a run of a study, which shows little but what has become of it; the run's key."""
    name = f"{composed['study']['arm']} seed {composed['seed']}"
    here = _Here(session, composed, name)
    try:
        if session.is_called_off():
            raise CalledOffError(f"{name}: called off")
        run = identify(job_of(composed), here.screen)
        here.begin(run.folder.key)
        attend(run, here.screen, session)
        return run.folder.key
    except KeyboardInterrupt:
        if not (session.is_elsewhere and session.is_called_off()):
            raise
        raise CalledOffError(f"{name}: called off") from None
    except Exception as error:
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", []))
        if not isinstance(error, CalledOffError):
            told = str(error) if isinstance(error, BusyError) else f"failed: {name}: {in_words(error)}{notes}"
            here.announce(told)
        if not isinstance(error, BusyError):
            here.fail(in_words(error))
        # Tracebacks hold the run's tensors, its own and that of what caused it, and the multirun goes on.
        error.__context__ = None
        raise error.with_traceback(None) from None
    finally:
        free_memory()
        if session.sweep:
            session.sweep.advance()
        if session.is_elsewhere and os.getppid() != _PARENT:
            os._exit(1)  # the command was killed, and nobody is left to take a result or give another run


class _Here:
    """Where a run has landed: what it says goes to this process's screen, or to the command that has launched it."""

    def __init__(self, session: Session, composed: DictConfig, name: str) -> None:
        self._session, self._name, self._key = session, name, ""
        if not session.is_elsewhere:
            self.screen = Screen(quiet=True, progress=composed["progress"], sweep=session.sweep)
            return
        self.screen = Screen(quiet=True, progress="none", listener=self._hear)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the command, which calls us off
        allotment.choose_gpu(session.gpus)

    def begin(self, key: str) -> None:
        """It is known which run it is."""
        self._key = key
        self._tell("begun", "")

    def fail(self, why: str) -> None:
        """It has failed, and with it maybe all."""
        self._tell("failed", why)
        if self._session.fail_fast and self._session.dispatch:
            self._session.dispatch.call_off()

    def announce(self, text: str) -> None:
        """A line that names the run."""
        if self._session.is_elsewhere:
            self._tell("said", text)
        else:
            self.screen.announce(text)

    def _hear(self, kind: Literal["said", "ended"], text: str) -> None:
        self._tell(kind, text if kind == "ended" else f"{self._name}: {text}")

    def _tell(self, kind: Kind, text: str) -> None:
        if self._session.is_elsewhere and self._session.dispatch:
            self._session.dispatch.tell(Message(kind, self._key, text))


def launch(
    jobs: Mapping[str, list[str]],
    turns: Iterable[list[str]],
    launcher: Launcher,
    results: dict[str, JobReturn],
    session: Session,
) -> None:
    """Run the jobs, by key, with Hydra's launcher: of each turn the first where it runs one by one, else all at once.

    A turn is what may be run now, in order; nothing where it is to be waited.
    """
    number, is_waiting = 0, False
    with session.dispatch or contextlib.nullcontext():
        for turn in turns:
            for key in turn:  # another member had it when it was tried before
                results.pop(key, None)
            if not turn:
                if not is_waiting:
                    Screen(sweep=session.sweep).announce(
                        "the runs that are left are with other members; waiting to see whether they live, for "
                        f"{duration(SILENCE_SECONDS)} at most"
                    )
                is_waiting = True
                time.sleep(_PAUSE_SECONDS)
            elif is_one_by_one(launcher):
                (results[turn[0]],) = launcher.launch([jobs[turn[0]]], initial_job_idx=number)
                number += 1
            else:
                _AtOnce(launcher, session, results).launch({key: jobs[key] for key in turn}, number)
                number += len(turn)
                if session.is_called_off():
                    return


def is_one_by_one(launcher: Launcher) -> bool:
    """Whether a launcher is Hydra's own, which runs one after the other in this process."""
    return type(launcher).__name__ == "BasicLauncher"


def failure_of(returned: JobReturn) -> Exception | None:
    """How a run failed; one that another process has, or that was called off, did not."""
    error = failure(returned)
    return None if isinstance(error, BusyError) else error


class _AtOnce:
    """Runs that are given to a launcher together, and listened to while it has them."""

    def __init__(self, launcher: Launcher, session: Session, results: dict[str, JobReturn]) -> None:
        assert session.dispatch and session.sweep
        self._launcher, self._results = launcher, results
        self._dispatch, self._sweep = session.dispatch, session.sweep
        self._screen = Screen(sweep=session.sweep)
        self._listening = threading.Lock()
        self._begun, self._ended, self._failed = set[str](), set[str](), dict[str, str]()

    def launch(self, jobs: Mapping[str, list[str]], number: int) -> None:
        """Have them run. Raises `KeyboardInterrupt` once they have stopped, where that is asked for."""
        start: Callable[..., Sequence[JobReturn]] = self._launcher.launch
        if slurm.is_slurm(self._launcher):
            start = partial(slurm.launch, self._launcher, is_wanted=self._dispatch.is_wanted)
        lost = dict.fromkeys(jobs, 0)
        with Interruption(self._stop) as interruption, self._listened():
            while left := {key: job for key, job in jobs.items() if key not in self._results}:
                try:
                    with _nothing_left(self._launcher):
                        returned = start(list(left.values()), number)
                    self._results.update(zip(left, returned, strict=True))
                except UserError:
                    raise
                except Exception as error:
                    if interruption.asked:
                        break
                    self._take_stock(left, lost, error)
        if interruption.asked:
            raise KeyboardInterrupt

    def _take_stock(self, left: Iterable[str], lost: dict[str, int], error: Exception) -> None:
        """After the end of a launcher that has lost a process: who has failed, and who begins anew.

        Raises `UserError` where no run had begun.
        """
        self._listen()
        under_way = self._begun - self._ended - self._failed.keys()
        if not (under_way or self._ended or self._failed):
            raise UserError(f"{type(self._launcher).__name__}: no run could be begun: {_words(error)}") from error
        for key in left:
            lost[key] += key in under_way or not under_way
            if key in self._failed or lost[key] >= _MOST_LOSSES:
                self._results[key] = failed(RuntimeError(self._failed.get(key) or _words(error)))
        self._screen.announce(f"{_words(error)}: what it had begun goes on from its last epoch")
        self._begun -= under_way

    def _stop(self) -> None:
        self._dispatch.call_off()
        self._screen.announce(_STOPPING)

    @contextlib.contextmanager
    def _listened(self) -> Iterator[None]:
        over = threading.Event()

        def listen() -> None:
            while not over.wait(_LOOK_SECONDS):
                self._listen()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield
        finally:
            over.set()
            listener.join()
            self._listen()

    def _listen(self) -> None:
        with self._listening:
            self._hear()

    def _hear(self) -> None:
        for message in self._dispatch.news():
            if message.kind == "begun":
                self._begun.add(message.key)
            elif message.kind == "said":
                self._screen.announce(message.text)
            elif message.kind == "failed":
                self._failed[message.key] = message.text
                self._sweep.advance()
            else:
                self._ended.add(message.key)
                self._screen.conclude(message.text)
                self._sweep.advance()


@contextlib.contextmanager
def _nothing_left(launcher: Launcher) -> Iterator[None]:
    """A context after which nothing that a launcher keeps in this process, or has started, is left of it."""
    has_ray = "ray" in sys.modules and sys.modules["ray"].is_initialized()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped while some jobs")  # joblib replaces a large one
        try:
            yield
        finally:
            if type(launcher).__name__ == "JoblibLauncher":
                from joblib.externals.loky import get_reusable_executor

                get_reusable_executor().shutdown(wait=True, kill_workers=True)
            if type(launcher).__name__ == "RayLauncher" and "ray" in sys.modules and not has_ray:
                sys.modules["ray"].shutdown()


def _words(error: Exception) -> str:
    return in_words(error).splitlines()[0]
