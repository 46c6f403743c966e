"""What is read of an option's source is what Python itself says of the option."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ablate.config import signature

CONF = Path(__file__).parents[2] / "conf"
TARGETS = sorted(
    {found for file in CONF.glob("*/*.yaml") if (found := (yaml.safe_load(file.read_text()) or {}).get("_target_"))}
)


def parameters(target: Callable[..., Any]) -> dict[str, Any]:
    """The keyword-only parameters with their annotations, by Python's own means, which import the module."""
    hints = typing.get_type_hints(target, include_extras=True)
    keywords: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            keywords[name] = hints[name]
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            keywords |= typing.get_type_hints(typing.get_args(hints[name])[0], include_extras=True)
    return keywords


def described(hint: Any) -> Any:
    """An annotation whose functions and TypedDicts, which were made twice, are told by what they hold."""
    if typing.is_typeddict(hint):
        return {name: described(each) for name, each in typing.get_type_hints(hint, include_extras=True).items()}
    if inspect.isfunction(hint):
        return hint.__code__.co_code, hint.__name__
    if dataclasses.is_dataclass(hint) and not isinstance(hint, type):
        return type(hint), [described(getattr(hint, field.name)) for field in dataclasses.fields(hint)]
    if arguments := typing.get_args(hint):
        metadata = getattr(hint, "__metadata__", ())
        return typing.get_origin(hint), [described(each) for each in (*arguments, *metadata)]
    return hint


@pytest.mark.parametrize("target", TARGETS)
def test_the_keys_of_an_option_are_those_of_its_callable(target: str) -> None:
    module, _, name = target.rpartition(".")
    read = signature.hints(module, name)
    assert read is not None
    real = parameters(getattr(importlib.import_module(module), name))
    assert {key: described(hint) for key, hint in read.items()} == {key: described(hint) for key, hint in real.items()}
    assert list(read) == list(real) or module.endswith(("arch", "optimizer", "augmentation"))


@pytest.mark.parametrize(
    "target",
    ["ablate.recipe.optimizer._groups", "ablate.recipe.optimizer.nothing", "ablate.recipe.none.at_all",
     "ablate.recipe.optimizer.Tensor", "ablate.recipe.optimizer.Betas", "ablate.recipe.arch.Block"],
)  # fmt: skip
def test_what_is_no_option_has_no_keys(target: str) -> None:
    module, _, name = target.rpartition(".")
    assert signature.hints(module, name) is None


def test_reading_imports_nothing_heavy() -> None:
    code = "\n".join(
        [
            "import sys",
            "from ablate.config import signature",
            *(f"signature.hints{tuple(each.rpartition('.')[::2])!r}" for each in TARGETS),
            "print({'torch', 'numpy', 'scipy', 'torchaudio'} & set(sys.modules))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
