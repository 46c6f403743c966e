"""What Hydra runs: a checked config with its options and overrides. No more is imported than a mistake in one needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from omegaconf import DictConfig

from ablate.config import compose
from ablate.config.check import check_settings, instantiate, refuse
from ablate.config.settings import Config
from ablate.error import UserError, refusing


class Job(NamedTuple):
    """The job that Hydra runs: its checked config, the option of each group, its overrides."""

    config: Config
    choices: dict[str, str]
    overrides: list[str]


def job_of(composed: DictConfig) -> Job:
    """The job that Hydra runs with this config. Raises `UserError` that names all that is wrong with it."""
    choices, overrides = compose.current_job()
    resolved = compose.resolve(composed)
    try:
        return Job(check_settings(resolved, overrides), choices, overrides)
    except UserError as error:
        refuse([*str(error).splitlines(), *_of_folders(resolved)])
        raise


def _of_folders(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with where the data lie, as far as a glance tells."""
    try:
        with refusing():
            instantiate(cast(Config, dict(config)), "data").num_mfcc()
    except UserError as error:
        return str(error).splitlines()
    return []
