"""Trainings in this process, for tests of what they compute."""

from collections.abc import Sequence
from pathlib import Path

from ablate.compose import Config, check_settings, compose, instantiate, resolve
from ablate.display import Screen
from ablate.interruption import Interruption
from ablate.prepare import Training, prepare
from ablate.record.key import key
from ablate.record.store import Row, RunFolder
from ablate.record.tracking import Tracker
from ablate.train import Outcome, train


def config_of(overrides: Sequence[str], output_dir: Path) -> Config:
    """The checked config of a run whose records go to `output_dir`."""
    config = resolve(compose([*overrides, f"output_dir={output_dir}"]))
    check_settings(config, overrides)
    return config


def prepared(overrides: Sequence[str], output_dir: Path) -> tuple[Training, RunFolder]:
    """A training, ready to start, and its folder."""
    config = config_of(overrides, output_dir)
    corpus = instantiate(config, "data")
    fingerprint = corpus.fingerprint(output_dir / "cache", Screen().track)
    folder = RunFolder(output_dir, key(config, fingerprint))
    training = prepare(config, corpus, fingerprint, Screen())
    folder.open("").close()
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
            interruption.asked = stop_after is not None and int(row["epoch"] or 0) >= stop_after

    with folder.lease() as lease:
        return train(training, folder, lease, Stopping(None, "disabled"), Screen(), interruption)
