"""Pictures as SVG that is the same from the same data."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

SERIES = ("#3b5b92", "#b35c00", "#1a7f37", "#8b3a8f", "#b3261e", "#4d7c8a", "#6b6b00", "#555555")
"""Colours that can be told apart."""


def drawn(draw: Callable[[Any], None], *, height: float) -> str:
    """SVG without a date, with ids that depend on nothing but the picture, and text as text."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(
        {
            "svg.hashsalt": "ablate",
            "svg.fonttype": "none",
            "text.parse_math": False,
            "font.family": "sans-serif",
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        figure, axes = pyplot.subplots(figsize=(7.6, height), layout="constrained")
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        pyplot.close(figure)
    text = file.getvalue()
    return text[text.index("<svg") :]
