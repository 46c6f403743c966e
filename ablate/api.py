"""`ablate` in a notebook: runs and studies by their names, and a training by its overrides.

Everything raises `ablate.error.UserError` with a line on what is wrong, as the commands say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ablate.command.diagnosis import mistakes, told_at_once
from ablate.command.frame import left_as_found
from ablate.command.line import Line, read
from ablate.config.check import refuse
from ablate.config.compose import Composer, is_of_hydra
from ablate.config.override import name_of
from ablate.display import Screen
from ablate.error import UserError
from ablate.record import reading
from ablate.record.layout import Layout
from ablate.record.reading import Result, Row
from ablate.report.gather import gather
from ablate.training.job import job_of
from ablate.training.run import attend, identify
from ablate.training.session import Session

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from omegaconf import DictConfig
    from torch import Tensor, nn

    from ablate.inference.trained import Trained
    from ablate.study.verdict import Judgement


class Run:
    """A run that has ended, as its folder has it; what is asked for is read then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        result = reading.result(folder)
        if result is None:
            raise UserError(f"{folder.name}: no finished run in {folder.parent}")
        self.result: Result = result
        """What `result.json` says: `result["metrics"]["val/accuracy"]`."""

    def __repr__(self) -> str:
        return f"<run {self.key}: {self.result['status']}, {self.result['metrics']['val/accuracy']} on validation>"

    @property
    def key(self) -> str:
        """Its content address."""
        return self.folder.name

    @cached_property
    def history(self) -> list[Row]:
        """An epoch each; `pandas.DataFrame(run.history)` makes a frame of it."""
        return reading.rows(self.folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        """All that it was trained with, resolved."""
        return reading.config(self.folder) or {}

    @property
    def model(self) -> nn.Sequential:
        """With its best weights, in evaluation mode; it takes windows ((2 context + 1) mfcc) of normalized frames."""
        return self._trained.model

    def probabilities(self, features: npt.ArrayLike | Tensor) -> npt.NDArray[np.float32]:
        """Of each class (frames, classes), for an utterance's features (frames, mfcc) as they are in a file.

        They are normalized and put in context as the run's own were; computed in float32 on the CPU.
        """
        from contextlib import nullcontext

        import torch

        utterance = _utterance(features)
        table = self._trained.table_of(utterance)
        logits = torch.cat(list(self._trained.logits(table, torch.device("cpu"), nullcontext)))
        found: npt.NDArray[np.float32] = logits.softmax(1).numpy()
        return found

    def predict(self, features: npt.ArrayLike | Tensor) -> npt.NDArray[np.str_]:
        """The phoneme of each frame (frames,), for an utterance's features (frames, mfcc) as they are in a file."""
        import numpy as np

        names = np.array(self._trained.portable["classes"])
        found: npt.NDArray[np.str_] = names[self.probabilities(features).argmax(1)]
        return found

    @cached_property
    def _trained(self) -> Trained:
        from ablate.inference.trained import Trained

        return Trained.of(self.folder)


class Study:
    """A study as its plan and the records of its runs have it."""

    def __init__(self, name: str, output_dirs: Sequence[Path]) -> None:
        self.name = name
        self._gathered = gather(output_dirs, name)

    def __repr__(self) -> str:
        tally = ", ".join(f"{number} {status}" for status, number in self._gathered.tally.items())
        return f"<study {self.name}: {tally}>"

    def frame(self) -> pd.DataFrame:
        """A row a run of the plan: its key, arm, seed, status, a column a factor, and what its result says."""
        import pandas as pd

        from ablate.report.files import runs

        header, *rows = runs(self._gathered)
        frame = pd.DataFrame(rows, columns=[str(name) for name in header])
        levels = pd.DataFrame([self._gathered.levels(str(arm)) for arm in frame["arm"]], index=frame.index)
        return pd.concat([frame, levels], axis=1)

    def verdicts(self) -> pd.DataFrame:
        """A row an arm but the baseline, as `verdicts.csv` has it; empty before there can be a verdict."""
        import pandas as pd

        from ablate.report.files import VERDICT_COLUMNS, verdicts
        from ablate.report.judging import judgement

        judged: Judgement | None = judgement(self._gathered)
        rows = verdicts(self._gathered, judged)[1:] if judged else []
        return pd.DataFrame(rows, columns=list(VERDICT_COLUMNS))


def _utterance(features: npt.ArrayLike | Tensor) -> Tensor:
    """Features as a tensor (frames, mfcc) float32 of its own. Raises `UserError` for what can't be an utterance's."""
    import numpy as np
    import torch

    try:
        plain = features.detach().cpu() if isinstance(features, torch.Tensor) else features
        found = torch.from_numpy(np.array(plain, np.float32))
    except (ValueError, TypeError) as error:
        raise UserError(f"features: expected numbers (frames, mfcc); {error}") from error
    if found.ndim != 2 or not len(found):
        raise UserError(f"features: expected (frames, mfcc), found {tuple(found.shape)}")
    if not bool(torch.isfinite(found).all()):
        raise UserError("features: NaN or infinity among them, which a normalization would spread over the utterance")
    return found


def load_run(name: str, output_dir: str | Path = "outputs") -> Run:
    """The run whose key is `name` or begins so."""
    places = Layout(Path(output_dir))
    return Run(places.run(reading.key_of(places, name)))


def load_study(name: str, *output_dirs: str | Path) -> Study:
    """The study of this name, in one folder or merged from several (default: `outputs`)."""
    return Study(name, [Path(each) for each in output_dirs or ("outputs",)])


def train(overrides: Sequence[str], *, quiet: bool = True) -> Result:
    """Train the run that a command line asks for, unless it has been; what its result says.

    A study, which is many runs, is what the command `ablate --multirun` is for.
    """
    if isinstance(overrides, str) or not all(isinstance(each, str) for each in overrides):
        raise UserError(f"expected a list of overrides such as ['arch=pyramid'], found {overrides!r}")
    line = read(list(overrides))
    with left_as_found(), Composer.of(line.flags, line.overrides) as composer:
        given = [each for each in line.overrides if not is_of_hydra(each)]
        if problems := [*line.problems, *_of_commands(line, given)]:
            refuse([*problems, *mistakes(composer, given)])
        composed = told_at_once(composer, given, lambda: composer.whole(given))
        ended = composer.run(composed, partial(_trained, quiet))
    result: Result = ended
    return result


def _of_commands(line: Line, overrides: Sequence[str]) -> Iterator[str]:
    """What asks for something else than a run."""
    if line.flags.multirun:
        yield "--multirun: a study is many runs; give `ablate --multirun ...` as a command"
    shown = ("help", "hydra_help", "shell_completion", "cfg", "info", "package", "resolve")
    asked = [f"--{name.replace('_', '-')}" for name in shown if getattr(line.flags, name)]
    asked += ["--version"] if line.asks_version else []
    asked += [name_of(each) for each in overrides if name_of(each) == "plot" or name_of(each).startswith("study.")]
    for each in asked:
        if each != "study.name":
            yield f"{each}: asks for no run; give it to the command `ablate`"


def _trained(quiet: bool, composed: DictConfig) -> Result:
    screen = Screen(quiet=quiet, progress=composed["progress"])
    ended = attend(identify(job_of(composed), screen), screen, Session())
    return Run(ended.folder).result if ended.folder else cast("Result", ended.result)
