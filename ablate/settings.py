"""The run-level keys of a config, each with its type and range."""

from typing import Annotated, Literal, TypedDict

from annotated_types import Le

from ablate.quantity import Count, NonNegativeInteger

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]


class Wandb(TypedDict):
    """Where the run is shown; never what it is."""

    mode: Literal["auto", "online", "offline", "disabled"]
    entity: str | None
    project: str
    tags: list[str]
    notes: str | None
    alert: bool


class Team(TypedDict):
    """Who runs it."""

    member: Count | None


class Study(TypedDict):
    """What it belongs to."""

    name: str | None


class Settings(TypedDict):
    """All that stands in `conf/config.yaml` beside the config groups."""

    seed: NonNegativeInteger
    epochs: Count
    batch_size: Count
    precision: Precision
    device: DeviceName
    threads: Annotated[Count, Le(1024)] | None
    max_params: Count | None
    output_dir: str
    rerun: bool
    wandb: Wandb
    team: Team
    study: Study
