"""The winner of a study on fresh seeds: it was picked for looking best, and so looks better than it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.config.override import for_shell, name_of, value_of
from ablate.record import reading
from ablate.record.layout import Layout
from ablate.report.gather import Study, gather

if TYPE_CHECKING:
    from ablate.study.verdict import Judgement

_FRESH_SEEDS = 3  # at least


def name_of_confirmation(study: str) -> str:
    """The name of the study that confirms another."""
    return f"{study}-confirm"


def is_one(study: Study) -> bool:
    """Whether a study confirms another, so that its winner is no pick of its own."""
    name = study.plan["study"]
    of = name.removesuffix(name_of_confirmation(""))
    return of != name and any(reading.plan(Layout(folder), of) for folder in study.output_dirs)


def best(judgement: Judgement) -> str | None:
    """The arm that is picked: the one that looks best, if it looks better than the baseline."""
    ahead = [each for each in judgement.verdicts if each.effect is not None and each.effect > 0]
    return max(ahead, key=lambda each: each.effect or 0.0).arm if ahead else None


def confirmation(study: Study, arm: str) -> list[str] | None:
    """The overrides that train an arm and the baseline on seeds that neither has seen; none where no values differ."""
    of_arm, of_baseline = (_overrides(study, each) for each in (arm, study.plan["baseline"]))
    if not of_arm or set(of_arm) != set(of_baseline):
        return None
    fixed = [f"{name}={value}" for name, value in of_baseline.items() if of_arm[name] == value]
    levels = [f"{name}={value},{of_arm[name]}" for name, value in of_baseline.items() if of_arm[name] != value]
    seeds = {cell["seed"] for cell in study.cells}
    fresh = list(range(max(seeds) + 1, max(seeds) + 1 + max(_FRESH_SEEDS, len(seeds))))
    design = ["study.design=zip"] if len(levels) > 1 else []
    name = f"study.name={name_of_confirmation(study.plan['study'])}"
    places = [each for each in study.places_of_data if name_of(each) not in map(name_of, of_baseline)]
    return [*places, *fixed, *levels, *design, f"study.seeds={fresh}".replace(" ", ""), name]


def lines(study: Study) -> list[str]:
    """What the study that confirms this one has shown, if there is one."""
    name = name_of_confirmation(study.plan["study"])
    if not any(reading.plan(Layout(folder), name) for folder in study.output_dirs):
        return []
    from ablate.report.judging import judgement

    confirming = gather(study.output_dirs, name)
    if (judged := judgement(confirming)) is None or judged.look.seeds < 2:
        return [f"on fresh seeds: nothing yet; `ablate status {name}` says how far it is"]
    which = f"on fresh seeds ({judged.look.seeds} of {name})"
    found = [f"{which}: {each.arm} {100 * (each.effect or 0):+.2f} points, {each.word}" for each in judged.verdicts]
    joined = sorted({cell["seed"] for cell in confirming.cells} & {cell["seed"] for cell in study.cells})
    if joined:
        found.append(
            f"of these seeds {', '.join(map(str, joined))} have joined the study since, so that its own verdicts and "
            "these are no two proofs"
        )
    return found


def typed(overrides: list[str]) -> str:
    """The command of these overrides, as every shell takes it."""
    return f"ablate -m {' '.join(for_shell(each) for each in overrides)}"


def _overrides(study: Study, arm: str) -> dict[str, str]:
    """By their names, signs included; without the seed."""
    cell = next(each for each in study.cells if each["arm"] == arm)
    signed = {each.partition("=")[0]: value_of(each) for each in cell.get("overrides", [])}
    return {name: value for name, value in signed.items() if name_of(name) != "seed"}
