"""A study's report in wandb: its page, its tables and its pictures, as a run of the study's group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ablate.config.check import check_settings
from ablate.config.compose import Composer, resolve
from ablate.config.override import name_of, quoted
from ablate.config.settings import Config
from ablate.error import IncompleteError, UserError
from ablate.record import layout, reading, tracking, upload, wandb_settings
from ablate.record.layout import Layout
from ablate.report.files import runs, verdicts
from ablate.report.gather import Study
from ablate.report.picture import pictures
from ablate.study.verdict import Judgement

_HEEDED = ("wandb.entity", "wandb.project", "wandb.tags")  # of what the study's command asked of wandb


def publish(places: Layout, study: Study, judgement: Judgement | None) -> Iterator[str]:
    """Log a report that has been written; where it can be seen, or how it gets there.

    Raises `UserError` where wandb is disabled, `IncompleteError` where its server can't be used.
    """
    name = study.plan["study"]
    config = _config(places, name)
    mode, reason = wandb_settings.choose_mode(config["wandb"]["mode"])
    if mode == "disabled":
        raise UserError(f"--publish: wandb is disabled ({reason}); leave one of them out")
    problems = list[str]()
    content = _Content(places.study(name), study, judgement)
    url, is_there = tracking.publish(config, f"report of {name}", content, problems.append)
    if is_there:
        yield f"published: {url}"
        return
    how = f"`{upload.command(places, name)}` uploads it"
    if mode == "online":
        raise IncompleteError("\n".join([*problems, f"the report is not published yet; {how}"]))
    yield f"wandb: offline ({reason}); {how}"


class _Content:
    """What is logged, made when wandb is ready for it."""

    def __init__(self, folder: Path, study: Study, judgement: Judgement | None) -> None:
        self._folder = folder
        self._study = study
        self._judgement = judgement

    def __call__(self) -> dict[str, Any]:
        import wandb

        page = (self._folder / layout.PAGE).read_text()
        found: dict[str, Any] = {"page": wandb.Html(page, inject=False), "runs": _table(runs(self._study))}
        if self._judgement:
            found["verdicts"] = _table(verdicts(self._study, self._judgement))
        for title, picture, _ in pictures(self._study, self._judgement):
            found[f"picture/{title}"] = wandb.Html(picture, inject=False)
        return found


def _table(rows: Sequence[Sequence[object]]) -> Any:
    import wandb

    header, *content = rows
    return wandb.Table(columns=list(map(str, header)), data=[list(row) for row in content], allow_mixed_types=True)


def _config(places: Layout, name: str) -> Config:
    """What the study's command asked of wandb, as far as its record tells; nothing in it is read from this machine."""
    command = reading.command(places, name) or {"config_name": "config", "folders": [], "overrides": []}
    asked = [each for each in command["overrides"] if name_of(each) in _HEEDED and "${" not in each]
    overrides = [*asked, f"output_dir={quoted(str(places.output_dir))}", f"study.name={quoted(name)}"]
    with Composer() as composer:
        return check_settings(resolve(composer.compose(overrides)), overrides)
