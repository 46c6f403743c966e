"""Standard output: how progress is shown there, and that it may be gone."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Literal

ProgressStyle = Literal["auto", "bar", "plain", "none"]
"""How progress is shown; auto is a bar where the terminal draws one, else plain lines."""


def mute() -> None:
    """Let standard output lead nowhere from now on: its reader is gone, or its disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def is_notebook(environment: Mapping[str, str]) -> bool:
    """Whether a notebook shows what a process of this environment prints: its terminals move no cursor.

    Jupyter's client gives each kernel JPY_PARENT_PID, Colab's machines have COLAB_RELEASE_TAG, and a kernel that an
    editor starts by itself has set matplotlib's inline backend.

    >>> is_notebook({"JPY_PARENT_PID": "82", "TERM": "xterm-color"}), is_notebook({"TERM": "xterm-256color"})
    (True, False)
    """
    is_inline = "inline" in environment.get("MPLBACKEND", "")
    return is_inline or not environment.keys().isdisjoint({"JPY_PARENT_PID", "COLAB_RELEASE_TAG"})
