"""Ablation studies of phoneme classifiers: what mattered, was it luck, and who should run what next.

In a notebook: `ablate.train`, `ablate.load_run`, `ablate.load_study`. Importing the package imports nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.api import Run, Study, load_run, load_study, train

__all__ = ["Run", "Study", "load_run", "load_study", "train"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(importlib.import_module("ablate.api"), name)
    raise AttributeError(f"module 'ablate' has no attribute {name!r}")
