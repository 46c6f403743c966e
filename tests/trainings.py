"""Trainings in this process, for tests of what they compute."""

from collections.abc import Sequence
from pathlib import Path

from ablate.config.check import check_settings, instantiate
from ablate.config.compose import compose, resolve
from ablate.config.settings import Config
from ablate.display import Screen
from ablate.interruption import Interruption
from ablate.record.key import key
from ablate.record.layout import Layout
from ablate.record.reading import Row
from ablate.record.store import RunFolder
from ablate.record.tracking import Tracker
from ablate.training.loop import Outcome, loop
from ablate.training.prepare import Training, prepare
from ablate.training.session import Tables


def checked(overrides: Sequence[str]) -> Config:
    """The config of these overrides, its run-level keys checked."""
    return check_settings(resolve(compose(overrides)), overrides)


def config_of(overrides: Sequence[str], output_dir: Path) -> Config:
    """The checked config of a run whose records go to `output_dir`."""
    return checked([*overrides, f"output_dir={output_dir}"])


def prepared(overrides: Sequence[str], output_dir: Path) -> tuple[Training, RunFolder]:
    """A training, ready to start, and its folder."""
    config = config_of(overrides, output_dir)
    corpus = instantiate(config, "data")
    places = Layout(output_dir)
    fingerprint = corpus.fingerprint(places.cache, Screen().track)
    folder = RunFolder(places, key(config, fingerprint))
    training = prepare(config, corpus, fingerprint, Screen(), Tables())
    folder.path.mkdir(parents=True, exist_ok=True)
    return training, folder


def trained(overrides: Sequence[str], output_dir: Path) -> tuple[Outcome, RunFolder]:
    """What a training ends with, and its folder; nothing is said to wandb."""
    training, folder = prepared(overrides, output_dir)
    return run(training, folder), folder


def run(training: Training, folder: RunFolder, *, stop_after: int | None = None) -> Outcome:
    """Train as the command does; with `stop_after`, as one who presses Ctrl-C in that epoch."""
    interruption = Interruption(lambda: None)

    class Stopping(Tracker):
        def log(self, row: Row) -> None:
            interruption.by_signal = stop_after is not None and int(row["epoch"] or 0) >= stop_after

    with folder.lease() as writer:
        writer.open("").close()
        return loop(training, writer, Stopping(None, "disabled"), Screen(), interruption)
