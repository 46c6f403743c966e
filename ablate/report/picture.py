"""A report's pictures, as SVG that is the same from the same records."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ablate.error import UserError
from ablate.record import reading
from ablate.report.gather import Study
from ablate.study.verdict import Judgement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"better": "#1a7f37", "worse": "#b3261e", "equivalent": "#3b5b92", "undecided": "#7a7a7a"}
_MARKS = {"better": "^", "worse": "v", "equivalent": "s", "undecided": "o"}
_SERIES = ("#3b5b92", "#b35c00", "#1a7f37", "#8b3a8f", "#b3261e", "#4d7c8a", "#6b6b00", "#555555")
_MOST_ARMS = 8  # whose curves can be told apart


def forest(judgement: Judgement) -> str:
    """Each arm's difference from the baseline with its interval, over the band within which arms count as equal."""

    def draw(axes: Axes) -> None:
        margin = 100 * judgement.margin
        axes.axvspan(-margin, margin, color="#888888", alpha=0.18, linewidth=0)
        axes.axvline(0, color="#888888", linewidth=1)
        for place, each in enumerate(reversed(judgement.verdicts)):
            if each.effect is None or each.low is None or each.high is None:
                axes.text(0, place, each.word, va="center", fontsize=9)
                continue
            colour = _COLOURS[each.word]
            axes.plot([100 * each.low, 100 * each.high], [place, place], color=colour, linewidth=2)
            axes.plot(100 * each.effect, place, _MARKS[each.word], color=colour, markersize=7)
        axes.set_yticks(range(len(judgement.verdicts)), [each.arm for each in reversed(judgement.verdicts)], fontsize=9)
        axes.set_ylim(-0.7, len(judgement.verdicts) - 0.3)
        axes.set_xlabel(f"points of accuracy against {judgement.baseline} (95 %)", fontsize=9)

    return _drawn(draw, height=0.9 + 0.34 * len(judgement.verdicts))


def learning_curves(study: Study) -> str:
    """Validation accuracy by epoch: the mean of an arm's seeds, and the range that they span."""
    curves: dict[str, list[list[float]]] = {}
    for cell in study.cells:
        if cell["key"] not in study.folders:
            continue
        try:
            rows = reading.rows(study.folders[cell["key"]])
        except UserError:
            continue  # named where the study was gathered, if its result is malformed too
        accuracies = [float(value) for row in rows if (value := row.get("val/accuracy")) is not None]
        if accuracies:
            curves.setdefault(cell["arm"], []).append(accuracies)

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for number, (arm, runs) in enumerate(list(curves.items())[:_MOST_ARMS]):
            shortest = min(map(len, runs))
            values = 100 * np.array([run[:shortest] for run in runs])
            epochs = np.arange(1, shortest + 1)
            axes.fill_between(epochs, values.min(0), values.max(0), color=_SERIES[number], alpha=0.2, linewidth=0)
            axes.plot(epochs, values.mean(0), color=_SERIES[number], label=arm, linewidth=1.6, marker=".")
        axes.set(xlabel="epoch", ylabel="validation accuracy, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=8, frameon=False)

    return _drawn(draw, height=3.6) if curves else ""


def trade_offs(study: Study, judgement: Judgement) -> str:
    """Accuracy against the number of parameters, an arm a point; the front of those that none beats in both."""
    spots = []
    for arm in study.arms:
        sizes = [
            size
            for cell in study.cells
            if cell["arm"] == arm and (result := study.results.get(cell["key"])) and (size := result.get("num_params"))
        ]
        if sizes and arm in judgement.means:
            spots.append((sizes[0], 100 * judgement.means[arm], arm))
    if len({size for size, _, _ in spots}) < 2:
        return ""

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import EngFormatter, MaxNLocator

        best = -1.0
        front = []
        for size, accuracy, _ in sorted(spots):
            if accuracy > best:
                best = accuracy
                front.append((size, accuracy))
        axes.plot(*zip(*front, strict=True), color="#888888", linewidth=1, drawstyle="steps-post")
        for size, accuracy, arm in spots:
            axes.plot(size, accuracy, "o", color=_SERIES[0], markersize=5)
            axes.annotate(arm, (size, accuracy), fontsize=7, xytext=(4, 3), textcoords="offset points")
        axes.set_xscale("log")
        for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_locator(MaxNLocator(5))
        axes.set(xlabel="parameters", ylabel="validation accuracy, %")

    return _drawn(draw, height=3.6)


def _drawn(draw: Callable[[Any], None], *, height: float) -> str:
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


def pictures(study: Study, judgement: Judgement | None) -> Sequence[tuple[str, str]]:
    """Titles and pictures, those that there is something to show in."""
    found = [("Learning curves", learning_curves(study))]
    if judgement is not None:
        found.append(("Accuracy and size", trade_offs(study, judgement)))
    return [(title, picture) for title, picture in found if picture]
