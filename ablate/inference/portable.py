"""What it takes, beside its weights, to use a run's model without its training data; reading it runs no code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, cast

import torch
from annotated_types import Ge, Le, Len
from torch import Tensor, nn

from ablate.config.check import instantiate
from ablate.config.settings import Config, Precision
from ablate.error import UserError
from ablate.file import check_plain
from ablate.quantity.valid import Pattern, valid
from ablate.recipe.data.corpus import Boundary, Context, Dtype
from ablate.recipe.data.table import FrameTable
from ablate.recipe.normalization import Normalization
from ablate.record import layout, reading
from ablate.record.key import as_before


class Portable(TypedDict):
    """The nodes of a run's model and its normalization, what that was fitted to, and what frames are made into."""

    format: Literal[1]
    key: str
    arch: dict[str, Any]
    normalization: dict[str, Any]
    statistics: dict[str, Tensor]
    classes: Annotated[list[Annotated[str, Pattern(r"^\S{1,20}$")]], Len(1, 255)]
    num_mfcc: Annotated[int, Ge(1), Le(100_000)]
    context: Context
    boundary: Boundary
    dtype: Dtype
    precision: Precision


def content(key: str, config: Config, train: FrameTable, classes: list[str]) -> Portable:
    """Of a run that is about to train on this table."""
    return {
        "format": 1,
        "key": key,
        "arch": config["arch"],
        "normalization": config["normalization"],
        "statistics": {name: value.cpu() for name, value in train.statistics.items()},
        "classes": classes,
        "num_mfcc": train.num_mfcc,
        "context": config["data"]["context"],
        "boundary": config["data"]["boundary"],
        "dtype": config["data"]["dtype"],
        "precision": config["precision"],
    }


def read(run: Path) -> Portable:
    """Of a run's folder. Raises `UserError` for a run of before there was such a file, and for one that is damaged."""
    path = run / layout.INFERENCE
    found = _loaded(path)
    try:
        portable: Portable = valid(Portable, found)
    except ValueError as error:
        raise UserError(f"{path}: {reading.first_problem(error)}; train the run again (rerun=true)") from error
    if portable["key"] != run.name:
        raise UserError(f"{path}: of the run {portable['key']}, expected {run.name}")
    return portable


def model(run: Path, portable: Portable) -> nn.Sequential:
    """The run's model with its best weights, in evaluation mode, on the CPU.

    Raises `UserError` for weights that are damaged or another model's.
    """
    path = run / layout.BEST
    weights = _loaded(path)
    num_inputs = (2 * portable["context"] + 1) * portable["num_mfcc"]
    with torch.device("meta"):  # a file that asks for a huge model is found out before there is one
        made: nn.Sequential = _instantiated("arch", portable["arch"], num_inputs, len(portable["classes"]))
    try:
        made.load_state_dict(weights, assign=True)
    except Exception as error:  # whatever torch makes of what is no state of this model
        raise UserError(f"{path}: not the weights of this run's model ({reading.first_problem(error)})") from error
    return made.eval()


def normalization(portable: Portable) -> Normalization:
    """As it was fitted to the run's training split. Raises `UserError` for statistics that are another's."""
    fitted, width = portable["statistics"], portable["num_mfcc"]
    try:
        found: Normalization = _instantiated("normalization", portable["normalization"], fitted)
        if set(found.statistics) != set(fitted) or any(each.shape != (width,) for each in fitted.values()):
            raise ValueError(f"statistics of {width} coefficients")
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{portable['key']}: {layout.INFERENCE} has not the statistics of its normalization ({error}); copy the "
            "run's folder again"
        ) from error
    return found


def _instantiated(group: Literal["arch", "normalization"], node: dict[str, Any], *runtime: Any) -> Any:
    return instantiate(cast(Config, {group: as_before(group, node)}), group, *runtime)


def _loaded(path: Path) -> Any:
    """What a file of tensors holds, once it is known to be what the run wrote."""
    try:
        check_plain(path)
        if not path.exists():
            raise ValueError("not there")
        reading.check_digest(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # whatever a broken or hostile file makes torch raise
        raise UserError(f"{path}: {reading.first_problem(error)}; without it the run's model can't be used") from error
