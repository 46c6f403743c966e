"""What wandb's project shows of runs that team-mates have ended: asked once by a command, and never waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate.error import UserError
from ablate.record import layout, reading, wandb_api, wandb_settings
from ablate.record.layout import Layout
from ablate.record.patience import within_seconds
from ablate.record.team import Found
from ablate.record.tracking import RECORD

_MOST_KEYS = 500  # a question
_LEFT_OUT = "left out"
_ENDED = ["finished", "failed", "crashed"]  # as wandb calls it: one that diverged has failed


def known(places: Layout, study: str) -> dict[str, Found]:
    """By key what an earlier command has found of a study. Raises `UserError` where that file is malformed."""
    return {key: Found(each["result"], each["place"]) for key, each in reading.found(places, study).items()}


def of_study(config: Mapping[str, Any], study: str, keys: Iterable[str]) -> tuple[dict[str, Found], list[str]]:
    """By key what has been found of a study's runs, now or before, and a line on what went wrong.

    Only what has not ended here is asked for, nothing where all is to be trained again.
    """
    if not config["wandb"]["lookup"]:
        return {}, []
    places = Layout(Path(config["output_dir"]))
    before = known(places, study)
    unknown = [key for key in keys if key not in before and not (places.run(key) / layout.RESULT).exists()]
    found, problems = ask(config, [] if config["rerun"] else unknown)
    return before | found, problems


def ask(config: Mapping[str, Any], keys: Sequence[str]) -> tuple[dict[str, Found], list[str]]:
    """The runs of these keys that have ended in wandb's project, by key, and a line on what went wrong.

    No network is asked unless runs are shown online. Raises `UserError` for a mode that can't be.
    """
    asked = config["wandb"]
    if not keys or not asked["lookup"] or wandb_settings.choose_mode(asked["mode"])[0] != "online":
        return {}, []
    wandb_settings.load(config["output_dir"])
    try:
        answer = within_seconds(lambda: list(_runs(asked, keys)))
    except Exception as error:  # whatever a failing server makes of it
        said = wandb_settings.first_line(error)
        if said.startswith("Could not find project"):  # nobody has shown a run yet
            return {}, []
        return {}, [f"wandb: can't be asked for team-mates' finished runs ({said}); what is known here counts alone"]
    return _found(answer, set(keys))


def _found(runs: Iterable[tuple[str, Any, Any]], wanted: set[str]) -> tuple[dict[str, Found], list[str]]:
    """The first whole record of each key among runs (their paths, keys and records)."""
    found, problems = dict[str, Found](), list[str]()
    for path, key, text in runs:
        if not isinstance(text, str) or key not in wanted or key in found:  # still running, or of a version before
            continue
        try:
            result = reading.result_from(text, key, f"wandb run {path}", _LEFT_OUT)
            found[key] = Found(result, f"wandb, {path.rpartition('/')[0]}")
        except UserError as error:
            problems.append(str(error))
    return found, problems


def _runs(asked: Mapping[str, Any], keys: Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
    """The path, the key and the record of each run that has ended, from the oldest on."""
    api = wandb_api.api()
    names = [wandb_settings.entity(asked), wandb_settings.project(asked)]
    for start in range(0, len(keys), _MOST_KEYS):
        some = list(keys[start : start + _MOST_KEYS])
        # As wandb documents a config's entry, and as its server stores it.
        by_key = [{name: {"$in": some}} for name in ("config.key", "config.key.value")]
        filters = {"$and": [{"state": {"$in": _ENDED}}, {"$or": by_key}]}
        path = "/".join(name for name in names if name)
        for run in api.runs(path, filters=filters, per_page=_MOST_KEYS, include_sweeps=False, lazy=False):
            yield "/".join(run.path), run.config.get("key"), run.summary_metrics.get(RECORD)
