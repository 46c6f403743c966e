"""A report's pictures, as SVG that is the same from the same records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from ablate.error import UserError
from ablate.page.picture import SERIES, drawn
from ablate.record import reading
from ablate.report.findings import Confused
from ablate.report.gather import RATE, Study, number, without_rate
from ablate.report.staging import Staging
from ablate.report.words import short
from ablate.study.verdict import Judgement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"better": "#1a7f37", "worse": "#b3261e", "equivalent": "#3b5b92", "undecided": "#7a7a7a"}
_MARKS = {"better": "^", "worse": "v", "equivalent": "s", "undecided": "o"}
_LINES = ("o", "s", "^", "D", "v", "P", "X", "*")  # told apart without colour too
_MOST_NAMED = 12  # points
_MOST_ARMS = 8  # whose curves can be told apart


def forest(judgement: Judgement, name: Callable[[str], str] = str) -> str:
    """Each arm's difference from the baseline with its interval, over the band within which arms count as equal."""
    verdicts = sorted(judgement.verdicts, key=lambda each: -1.0 if each.effect is None else each.effect)

    def draw(axes: Axes) -> None:
        margin = 100 * judgement.margin
        axes.axvspan(-margin, margin, color="#888888", alpha=0.18, linewidth=0)
        axes.axvline(0, color="#888888", linewidth=1)
        for place, each in enumerate(verdicts):
            if each.effect is None or each.low is None or each.high is None:
                axes.text(0, place, each.word, va="center", fontsize=9)
                continue
            colour = _COLOURS[each.word]
            axes.plot([100 * each.low, 100 * each.high], [place, place], color=colour, linewidth=2)
            axes.plot(100 * each.effect, place, _MARKS[each.word], color=colour, markersize=7)
        axes.set_yticks(range(len(verdicts)), [name(each.arm) for each in verdicts], fontsize=9)
        axes.set_ylim(-0.7, len(judgement.verdicts) - 0.3)
        axes.set_xlabel("points of accuracy against the baseline, with intervals of 95 %", fontsize=9)

    return drawn(draw, height=0.9 + 0.34 * len(judgement.verdicts))


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

        for place, (arm, runs) in enumerate(list(curves.items())[:_MOST_ARMS]):
            shortest = min(map(len, runs))
            values = 100 * np.array([run[:shortest] for run in runs])
            epochs = np.arange(1, shortest + 1)
            axes.fill_between(epochs, values.min(0), values.max(0), color=SERIES[place], alpha=0.2, linewidth=0)
            axes.plot(
                epochs,
                values.mean(0),
                color=SERIES[place],
                label=short(study, arm),
                linewidth=1.4,
                marker=_LINES[place],
            )
        axes.set(xlabel="epoch", ylabel="validation accuracy, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower right", fontsize=8, frameon=False)

    return drawn(draw, height=3.6) if curves else ""


def trade_off(study: Study, judgement: Judgement, of: Literal["num_params", "seconds"]) -> str:
    """Accuracy against what an arm costs, an arm a point; the front of those that none beats in both."""
    spots = []
    for arm in study.arms:
        costs = [
            cost
            for cell in study.cells
            if cell["arm"] == arm and (result := study.results.get(cell["key"])) and (cost := result.get(of))
        ]
        if costs and arm in judgement.means:
            spots.append((float(np.median(costs)), 100 * judgement.means[arm], arm))
    machines = {machine["name"] for each in study.results.values() if (machine := each.get("machine"))}
    if len({cost for cost, _, _ in spots}) < 2 or (of == "seconds" and len(machines) > 1):
        return ""

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import EngFormatter, MaxNLocator

        best = -1.0
        front = []
        for cost, accuracy, _ in sorted(spots):
            if accuracy > best:
                best = accuracy
                front.append((cost, accuracy))
        axes.plot(*zip(*front, strict=True), color="#888888", linewidth=1, drawstyle="steps-post")
        for cost, accuracy, arm in spots:
            axes.plot(cost, accuracy, "o", color=SERIES[0], markersize=5)
            if len(spots) <= _MOST_NAMED or (cost, accuracy) in front:
                axes.annotate(
                    short(study, arm), (cost, accuracy), fontsize=7, xytext=(4, 3), textcoords="offset points"
                )
        axes.set_xscale("log")
        for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_locator(MaxNLocator(5))
        axes.set(xlabel="parameters" if of == "num_params" else "seconds a run", ylabel="validation accuracy, %")

    return drawn(draw, height=3.6)


def rates(study: Study) -> str:
    """Accuracy over the learning rate, a line for each setting of the other factors."""
    levels = study.plan.get("factors", {}).get(RATE, [])
    lines = {}
    for setting in dict.fromkeys(without_rate(arm) for arm in study.arms):
        arms = {study.levels(arm).get(RATE, ""): arm for arm in study.arms if without_rate(arm) == setting}
        spots = [
            (number(rate), mean) for rate, arm in arms.items() if (mean := study.mean(arm, of_diverged=0.0)) is not None
        ]
        if len(spots) > 1:
            lines[short(study, setting) or "all"] = sorted(spots)
    if len(levels) < 2 or not lines:
        return ""

    def draw(axes: Axes) -> None:
        for place, (setting, spots) in enumerate(list(lines.items())[:_MOST_ARMS]):
            points = [(rate, 100 * mean) for rate, mean in spots]
            axes.plot(
                *zip(*points, strict=True), color=SERIES[place], marker=_LINES[place], label=setting, linewidth=1.4
            )
        axes.set_xscale("log")
        axes.set(xlabel="learning rate", ylabel="validation accuracy, %")
        axes.legend(loc="lower center", fontsize=8, frameon=False)

    return drawn(draw, height=3.6)


def agreement(study: Study, staging: Staging) -> str:
    """Accuracy here against that on the stage before, an arm a point; empty where there are fewer than two."""
    spots = [
        (before, here, arm)
        for arm in study.arms
        if (before := staging.before.mean(arm)) is not None and (here := study.mean(arm)) is not None
    ]
    if len(spots) < 2:
        return ""
    first, last = staging.parts(study)

    def draw(axes: Axes) -> None:
        for before, here, arm in spots:
            mark = "s" if arm in staging.promotion.audited else "o"
            axes.plot(100 * before, 100 * here, mark, color=SERIES[0], markersize=5)
            if len(spots) <= _MOST_NAMED:
                place = (100 * before, 100 * here)
                axes.annotate(short(study, arm), place, fontsize=7, xytext=(4, 3), textcoords="offset points")
        axes.set(xlabel=f"accuracy on {first} of the data, %", ylabel=f"accuracy on {last}, %")

    return drawn(draw, height=3.6)


def confusions(confused: Confused, names: Sequence[str]) -> tuple[str, str]:
    """The baseline's confusions, and what the arm has more (red) and less (blue) of them."""
    off = ~np.eye(len(names), dtype=bool)

    def shown(values: npt.NDArray[np.float64], colours: str, low: float, high: float) -> str:
        def draw(axes: Axes) -> None:
            image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
            axes.set_xticks(range(len(names)), names, fontsize=5, rotation=90)
            axes.set_yticks(range(len(names)), names, fontsize=5)
            axes.set(xlabel="taken for", ylabel="phoneme")
            axes.figure.colorbar(image, ax=axes, shrink=0.8, label="% of the phoneme's frames")

        return drawn(draw, height=6.4)

    before = 100 * np.where(off, confused.of_baseline, 0)
    change = 100 * np.where(off, confused.of_arm - confused.of_baseline, 0)
    most = max(float(np.abs(change).max()), 0.1)
    return shown(before, "Greys", 0, max(float(before.max()), 0.1)), shown(change, "RdBu_r", -most, most)


def pictures(study: Study, judgement: Judgement | None) -> Sequence[tuple[str, str, str]]:
    """Titles, pictures and what they show, those that there is something to show in."""
    found = [("Learning curves", learning_curves(study), "The mean of an arm's seeds, and the range that they span.")]
    if judgement is not None:
        front = "An arm a point; the line is the front: nothing on it is beaten in both."
        found += [
            ("Accuracy over the learning rate", rates(study), "Best at the border: the range is too narrow."),
            ("Accuracy and size", trade_off(study, judgement, "num_params"), front),
            ("Accuracy and time", trade_off(study, judgement, "seconds"), front),
        ]
    return [each for each in found if each[1]]
