"""An audit's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ablate.audit.alignment import SHIFTS
from ablate.audit.measure import Measured
from ablate.audit.reading import Shown
from ablate.page.picture import SERIES, drawn
from ablate.recipe.data.phoneme import PHONEMES, UNKNOWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_FRAMES, _COEFFICIENTS = 300, 13  # of an utterance that are shown


def utterance(shown: Shown, scale: np.ndarray) -> str:
    """The first coefficients over time, without their means and in units of `scale` (mfcc,), between boundaries."""
    features, labels = shown.features[:_MOST_FRAMES], shown.labels[:_MOST_FRAMES]
    values = ((features - features.mean(0)) / np.where(scale > 0, scale, 1))[:, :_COEFFICIENTS]

    def draw(axes: Axes) -> None:
        axes.imshow(
            values.T, aspect="auto", origin="lower", cmap="Greys", vmin=-2.5, vmax=2.5, interpolation="nearest",
            extent=(0, len(values), -0.5, values.shape[1] - 0.5),
        )  # fmt: skip
        starts = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])
        for start, end in zip(starts, [*starts[1:], len(labels)], strict=True):
            axes.axvline(start, color=SERIES[1], linewidth=0.8)
            if labels[start] != UNKNOWN and end - start >= 4 * len(values) / _MOST_FRAMES:
                axes.text(
                    (start + end) / 2, values.shape[1], PHONEMES[labels[start]], fontsize=6, ha="center", va="bottom"
                )
        axes.set(xlabel="frame", ylabel="coefficient", yticks=range(0, values.shape[1], 4))

    return drawn(draw, height=2.6)


def class_balance(splits: Sequence[Measured]) -> str:
    """Each phoneme's part of the frames, in each split that has labels."""
    labelled = [each for each in splits if each.is_labelled and each.counts.sum()]
    parts = [100 * each.counts.sum(0) / each.counts.sum() for each in labelled]
    order = np.argsort(-parts[0]) if parts else np.arange(0)

    def draw(axes: Axes) -> None:
        width = 0.8 / len(labelled)
        for place, (split, part) in enumerate(zip(labelled, parts, strict=True)):
            at = np.arange(len(PHONEMES)) + (place - (len(labelled) - 1) / 2) * width
            axes.bar(at, part[order], width, color=SERIES[place], label=split.split)
        axes.set_xticks(range(len(PHONEMES)), [PHONEMES[number] for number in order], fontsize=6)
        axes.set_xlim(-0.8, len(PHONEMES) - 0.2)
        axes.set_ylabel("% of the frames")
        axes.legend(loc="upper right", fontsize=8, frameon=False)

    return drawn(draw, height=2.8) if labelled else ""


def lengths(splits: Sequence[Measured], hop_seconds: float) -> str:
    """How many utterances are how long."""
    seconds = [(each.split, each.frames * hop_seconds) for each in splits if len(each.names)]

    def draw(axes: Axes) -> None:
        edges = np.histogram_bin_edges(np.concatenate([values for _, values in seconds]), bins=40)
        for place, (split, values) in enumerate(seconds):
            share = np.full(len(values), 100 / len(values))
            axes.hist(
                values, edges.tolist(), weights=share, histtype="step", color=SERIES[place], linewidth=1.4, label=split
            )
        axes.set(xlabel="seconds", ylabel="% of the utterances")
        axes.legend(loc="upper right", fontsize=8, frameon=False)

    return drawn(draw, height=2.6) if seconds else ""


def shifts(splits: Sequence[Measured]) -> str:
    """How well each split's labels fit its features when they are moved: the peak is where they belong."""
    curves = [(each.split, each.moments.fit()) for each in splits if each.is_labelled and each.moments.counts.any()]

    def draw(axes: Axes) -> None:
        axes.axvline(0, color="#888888", linewidth=1)
        for place, (split, curve) in enumerate(curves):
            axes.plot(
                SHIFTS,
                100 * curve / curve.max(),
                color=SERIES[place],
                label=split,
                linewidth=1.4,
                marker="o",
                markersize=3,
            )
        axes.set(xlabel="frames that labels are late by", ylabel="% of the best fit", xticks=SHIFTS[::2])
        axes.legend(loc="upper right", fontsize=8, frameon=False)

    return drawn(draw, height=2.6) if curves else ""
