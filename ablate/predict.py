"""`ablate predict RUN...`: a label for each frame of the test split, by one run or by several together."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.command.frame import end, framed
from ablate.config.override import canonical_override, name_of
from ablate.display import Screen, few
from ablate.error import UserError, refusing
from ablate.file import write_atomically
from ablate.record import layout, reading
from ablate.record.key import as_before
from ablate.record.layout import Layout

if TYPE_CHECKING:
    from ablate.config.settings import Config
    from ablate.inference.predicted import Predicted
    from ablate.inference.submission import Labels
    from ablate.inference.trained import Trained
    from ablate.recipe.data.cache import Recordings

_OVERRIDES = (
    "data.root", "data.alignments", "data.test", "data.leave_out", "data.on_bad_utterance", "device", "threads",
    "precision", "max_params", "progress",
)  # fmt: skip
"""What may differ from how a run was trained: where its data lie, the machine, the limit of what is handed in."""

_OF_THE_RUN = ("seed", "precision", "max_params")  # beside its groups


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    return framed(_predict, sys.argv[1:] if arguments is None else arguments)


def _predict(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ablate predict", description=__doc__)
    parser.add_argument(
        "runs", nargs="+", metavar="RUN",
        help=f"a key, the beginning of one, or best:STUDY; behind them overrides ({', '.join(_OVERRIDES)})",
    )  # fmt: skip
    parser.add_argument(
        "--combine", choices=["average", "vote"], default="average",
        help="several runs by the mean of their probabilities, or by the majority (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--labels", choices=["phonemes", "indices"], default="phonemes", help="(%(default)s)")
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where the records lie (%(default)s)")
    asked = parser.parse_intermixed_args(arguments)
    overrides = [canonical_override(each) for each in asked.runs if "=" in each]
    if wrong := [name_of(each) for each in overrides if name_of(each) not in _OVERRIDES]:
        raise UserError(f"{wrong[0]}: is as the run was trained; expected one of {', '.join(_OVERRIDES)}")
    places = Layout(asked.output_dir)
    keys = sorted({_key(places, each) for each in asked.runs if "=" not in each})
    if not keys:
        raise UserError("expected a run: a key, the beginning of one, or best:STUDY; `ablate status` lists the studies")

    from ablate.inference.trained import Trained

    models = [Trained.of(places.run(key)) for key in keys]
    _check_alike(models, overrides)
    config = _config(models[0].folder, overrides)
    screen = Screen(progress=config["progress"])
    num_params = _check_size(models, config)
    recordings, predicted = _predicted(models, config, asked, screen)
    _write(_Task(places, models, num_params, asked.labels), recordings, predicted, screen)
    return 0


def _key(places: Layout, name: str) -> str:
    """The key that a name means. Raises `UserError` where it means none or several."""
    kind, _, study = name.partition(":")
    if kind != "best" or not study:
        return reading.key_of(places, name)
    from ablate.report.gather import gather

    gathered = gather([places.output_dir], study)
    results = gathered.results
    accuracies = {key: accuracy for key, each in results.items() if (accuracy := each["metrics"]["val/accuracy"])}
    if not accuracies:
        raise UserError(f"{name}: no run of the study has finished with a model")
    best = max(sorted(accuracies), key=lambda key: accuracies[key])
    if best in gathered.elsewhere:
        place = gathered.elsewhere[best]
        how = f"`ablate collect {place}` brings it here" if best in gathered.folders else f"{place} has no folder of it"
        raise UserError(f"{name}: {best} is a team-mate's; {how}")
    return best


def _check_alike(models: Sequence[Trained], overrides: Sequence[str]) -> None:
    """Raise `UserError` where it is not clear whose test split is meant."""
    fingerprints = {each.result.get("data_fingerprint") for each in models}
    if len(fingerprints) > 1 and not any(name_of(each).startswith("data.") for each in overrides):
        data = ", ".join(f"{each.folder.name}: data={each.result.get('choices', {}).get('data')}" for each in models)
        raise UserError(
            f"the runs were trained on different data ({data}); data.root=... says whose test split is meant"
        )


def _config(run: Path, overrides: Sequence[str]) -> Config:
    """The run's config with these overrides. Raises `UserError` for what is wrong with either."""
    from omegaconf import OmegaConf

    from ablate.config.check import check_settings
    from ablate.config.compose import compose, parse, resolve
    from ablate.config.folder import check_file
    from ablate.config.settings import GROUPS

    path = run / layout.CONFIG
    check_file(path)
    recorded = reading.config(run)
    if recorded is None:
        raise UserError(f"{path}: not there, and it says where the data are; copy the whole folder of the run")
    of_the_run = {
        name: as_before(name, value) if isinstance(value, Mapping) else value
        for name, value in recorded.items()
        if name in (*GROUPS, *_OF_THE_RUN)
    }
    composed = OmegaConf.create({**resolve(compose([])), **of_the_run})  # all else is this machine's
    if isinstance(of_the_run.get("data"), dict):
        composed["data"]["leave_out"] = None  # what was left out of training says nothing of the test split
    for each in overrides:
        OmegaConf.update(composed, name_of(each), parse(each).value())
    plain = OmegaConf.to_container(composed)
    assert isinstance(plain, dict)
    return check_settings({str(name): value for name, value in plain.items()}, overrides)


def _check_size(models: Sequence[Trained], config: Config) -> int:
    """The models' parameters together. Raises `UserError` where they are more than may be handed in."""
    number, most = sum(each.num_params for each in models), config["max_params"]
    if most is not None and number > most:
        whose = f"the {len(models)} runs have {number} parameters together" if len(models) > 1 else f"it has {number}"
        raise UserError(f"max_params={most}: {whose}; leave some out, or give another max_params=")
    return number


def _predicted(
    models: Sequence[Trained], config: Config, asked: argparse.Namespace, screen: Screen
) -> tuple[Recordings, Predicted]:
    from ablate.config.check import instantiate
    from ablate.inference.predicted import predicted
    from ablate.recipe.data.cache import undamaged
    from ablate.training import machine

    cache = Layout(asked.output_dir).cache
    given = any(name_of(each) == "precision" for each in asked.runs)
    precisions = {each.folder: config["precision"] if given else each.portable["precision"] for each in models}
    for precision in set(precisions.values()):
        device = machine.configure(config["device"], precision, config["threads"])

    def autocast(model: Trained) -> Any:
        return partial(machine.autocast, device, precisions[model.folder])

    def made() -> tuple[Recordings, Predicted]:
        with refusing():
            recordings = instantiate(config, "data").load("test", seed=config["seed"], cache=cache, track=screen.track)
        if faults := list(recordings.faults):
            screen.announce(f"warning: {len(faults)} bad utterances ({few(faults)}) have no rows, which move up")
        return recordings, predicted(models, recordings, asked.combine, (device, autocast), screen.track)

    return undamaged(made, screen.announce)


@dataclass(frozen=True)
class _Task:
    places: Layout
    models: Sequence[Trained]
    num_params: int
    labels: Labels

    @property
    def keys(self) -> list[str]:
        """Of the models' runs."""
        return [each.folder.name for each in self.models]


def _write(task: _Task, recordings: Recordings, predicted: Predicted, screen: Screen) -> None:
    """The predictions, what is handed in beside them, and what the test split has shown where its labels are known."""
    from ablate.inference import submission

    classes = submission.in_file_order(predicted.classes.numpy(), recordings.names, recordings.lengths)
    rows = submission.csv(classes, task.models[0].portable["classes"], task.labels)
    assert rows.count(b"\n") - 1 == sum(recordings.lengths)
    path = task.places.predictions(task.keys)
    described = submission.hand_in(task.models, task.num_params)
    if predicted.correct is not None:
        described["test/accuracy"] = predicted.accuracy(predicted.correct)
    _write_file(path, rows)
    _write_json(path.with_suffix(".json"), described)
    table: dict[str, object] = {}
    for key, correct in predicted.correct_of_each.items():
        looks = _note_look(task.places.run(key), correct, predicted.accuracy(correct), recordings)
        seen = "" if looks == 1 else f"; look {looks} at the test split, and a choice made by it is no fair test"
        table[key] = f"{predicted.accuracy(correct):.4f} on test{seen}"
    if predicted.correct is not None and len(task.models) > 1:
        table["together"] = f"{predicted.accuracy(predicted.correct):.4f} on test"
    table["parameters"] = f"{task.num_params:,}"
    table["predictions"] = f"{path} ({sum(recordings.lengths):,} frames of {len(recordings.names):,} utterances)"
    table["hand-in"] = path.with_suffix(".json")
    screen.table(table)


def _note_look(run: Path, correct: int, accuracy: float, recordings: Recordings) -> int:
    """Record what a look at the test split has shown of a run; which look it is."""
    of_each = {each["data"]: each for each in reading.test(run)}
    before = of_each.pop(recordings.identity, None)
    looks = before["looks"] + 1 if before else 1
    content = {"key": run.name, "accuracy": accuracy, "correct": correct, "frames": sum(recordings.lengths)}
    _write_json(
        run / layout.TEST,
        {**content, "looks": looks, "data": recordings.identity, "of_other_data": list(of_each.values())},
    )
    return looks


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write_file(path, (json.dumps(content, indent=2) + "\n").encode())


def _write_file(path: Path, content: bytes) -> None:
    with write_atomically(path) as file:
        file.write(content)


if __name__ == "__main__":
    end(main())
