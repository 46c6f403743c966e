"""The learning-rate curves of configs, drawn without training and without data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ablate.config.check import check, instantiate
from ablate.config.settings import Config
from ablate.file import write_atomically
from ablate.record.layout import Layout

_STEPS = 1000  # a curve's, at least: how many the run has depends on its data


@dataclass(frozen=True)
class Curve:
    """Learning rates at points of a run, in epochs from its start."""

    epochs: list[float]
    rates: list[float]


def learning_rates(config: Config) -> Curve:
    """The rate over the run, base rate times schedule; validation is taken never to improve.

    Raises `UserError` for what is wrong with the schedule or the optimizer.
    """
    check(config)
    epochs = config["epochs"]
    each = math.ceil(_STEPS / epochs)
    schedule = instantiate(config, "scheduler", epochs * each)
    no_better: list[Mapping[str, float | int | None]] = [{"val/accuracy": 0.0, "val/loss": 1.0}] * epochs
    base = float(config["optimizer"]["lr"])
    rates = [base * schedule(step, no_better[: step // each]) for step in range(epochs * each)]
    return Curve([step / each for step in range(epochs * each)], rates)


def draw(curves: Mapping[str, Curve], places: Layout) -> str:
    """Make a picture (PNG) of the curves by their names; what there is to say of it."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for name, curve in curves.items():
        axes.plot(curve.epochs, curve.rates, label=name.replace("$", r"\$"))
    axes.set(xlabel="epochs", ylabel="learning rate", ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=1 if len(curves) < 4 else 2, fontsize="small")
    path = places.plot("scheduler")
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as file:
        figure.savefig(file, format="png", dpi=120)
    pyplot.close(figure)
    return f"{path}: {len(curves)} learning-rate {'curve' if len(curves) == 1 else 'curves'}; nothing is trained"
