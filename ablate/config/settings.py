"""What a config holds: run-level keys, each with its type and range, and the groups' nodes."""

import re
from typing import Annotated, Any, Literal, TypedDict, get_args

from annotated_types import Gt, Le, Len

from ablate.display.output import ProgressStyle
from ablate.quantity import Count, NonNegativeInteger, Positive
from ablate.quantity.valid import After
from ablate.study.design import Design, Resolution

Group = Literal[
    "data",
    "normalization",
    "augmentation",
    "arch",
    "initialization",
    "optimizer",
    "scheduler",
    "regularization",
    "averaging",
]
GROUPS: tuple[Group, ...] = get_args(Group)
"""The groups whose options a run is made of; each is a module of `ablate.recipe`, and a folder of `conf/`."""

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def _project_name(name: str) -> str:
    if not re.fullmatch(r"[^/\\#?%:]+", name):
        raise ValueError("expected a name without / \\ # ? % and :, as wandb takes it")
    return name


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[^/\\\x00-\x1f.][^/\\\x00-\x1f]*", name):
        raise ValueError("expected the name of a folder: no / and \\ in it, no dot first")
    return name


ProjectName = Annotated[str, Len(0, 128), After(_project_name)]
FolderName = Annotated[str, Len(0, 100), After(_folder_name)]


Members = Annotated[Count, Le(1000)]


class Wandb(TypedDict):
    """Where the run is shown; never what it is."""

    mode: Literal["auto", "online", "offline", "disabled"]
    entity: ProjectName | None
    project: ProjectName | None
    tags: list[Annotated[str, Len(1, 64)]]
    notes: str | None
    alert: bool
    lookup: bool
    artifact: bool


class Team(TypedDict):
    """Who runs it, among how many a study is split, and where the others' results lie."""

    member: Members | None
    size: Members | None
    stores: list[Annotated[str, Len(1, 4096)]]
    claims: Annotated[str, Len(1, 4096)] | None


class Study(TypedDict):
    """What it belongs to, and how a multirun makes runs of its factors."""

    name: FolderName | None
    question: str | None
    factors: dict[str, Any] | None
    design: Design
    resolution: Resolution
    exclude: list[str]
    seeds: Annotated[Count, Le(1000)] | Annotated[list[NonNegativeInteger], Len(1, 1000)] | None
    stop: list[str]
    stages: Annotated[list[Annotated[float, Gt(0), Le(1)]], Len(2, 10)] | None
    margin: Positive | None
    dry_run: bool
    coverage: bool
    fail_fast: bool
    arm: str | None


class Settings(TypedDict):
    """All that stands in `conf/config.yaml` beside the config groups."""

    seed: NonNegativeInteger
    epochs: Annotated[Count, Le(1_000_000)]
    batch_size: Annotated[Count, Le(1_000_000_000)]
    precision: Precision
    device: DeviceName
    threads: Annotated[Count, Le(1024)] | None
    max_params: Count | None
    output_dir: Annotated[str, Len(1)]
    rerun: bool
    progress: ProgressStyle
    plot: Literal["scheduler"] | None
    objective: Literal["val/accuracy", "val/loss"]
    wandb: Wandb
    team: Team
    study: Study


Node = dict[str, Any]
"""What a group's option describes: a call, its `_target_` with its keyword-only arguments."""


class Config(Settings):
    """A run's config once it has been checked."""

    data: Node
    normalization: Node
    augmentation: Node
    arch: Node
    initialization: Node
    optimizer: Node
    scheduler: Node
    regularization: Node
    averaging: Node
