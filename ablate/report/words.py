"""A study in words, for a terminal and for tables: a row an arm, what was found, and what to do next."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ablate.config.override import for_shell
from ablate.display import duration
from ablate.error import UserError, clipped
from ablate.record import reading
from ablate.record.layout import Layout
from ablate.record.status import ENDED
from ablate.report import confirmation, decisions, staging
from ablate.report.gather import Study, flags_of_rates, gather

if TYPE_CHECKING:
    from ablate.study.verdict import Judgement, Verdict

_SIGNS = {"better": "+", "worse": "-", "equivalent": "=", "undecided": "?"}
_MOST_COLUMNS = 80
_SURELY = 0.05


def points(accuracy: float | None, *, signed: bool = True) -> str:
    """A difference of accuracy in points, or an accuracy in per cent.

    >>> points(0.0083), points(-0.2), points(0.719, signed=False), points(None)
    ('+0.83', '-20.00', '71.90', '')
    """
    if accuracy is None:
        return ""
    return f"{100 * accuracy:+.2f}" if signed else f"{100 * accuracy:.2f}"


def short(study: Study, arm: str) -> str:
    """An arm's levels: options by their names alone, values with that of their key."""
    parts = [
        level if "." not in name and level.isidentifier() else f"{name.rpartition('.')[2]}={level}"
        for name, level in study.levels(arm).items()
    ]
    return ", ".join(parts) or arm


def flagged(study: Study, judgement: Judgement) -> list[Verdict]:
    """The verdicts with the flags that the whole of the study tells."""
    rates = flags_of_rates(study)
    return [
        dataclasses.replace(each, flags=(*each.flags, rates[each.arm])) if each.arm in rates else each
        for each in judgement.verdicts
    ]


def verdict_words(verdict: Verdict) -> str:
    """A verdict with its sign, which tells it without colour.

    >>> from ablate.study.verdict import Verdict
    >>> verdict_words(Verdict("a", "undecided", 0.001, -0.01, 0.01, 0.4, 3, more_seeds=4))
    '? undecided (+4 seeds)'
    """
    more = ""
    if verdict.more_seeds:
        more = f" (+{verdict.more_seeds} {'seed' if verdict.more_seeds == 1 else 'seeds'})"
    lost = f", {verdict.num_diverged} of {verdict.n + verdict.num_diverged} diverged" if verdict.num_diverged else ""
    return f"{_SIGNS[verdict.word]} {verdict.word}{more}{lost}"


def table(study: Study, judgement: Judgement) -> list[list[str]]:
    """Header and a row an arm: levels, accuracy in per cent, effect in points, half its interval, runs, verdict."""
    factors = list(study.levels(study.plan["baseline"])) or ["arm"]
    header = [*(name.rpartition(".")[2] for name in factors), "acc %", "effect", "± 95 %", "n", "verdict"]
    rows = [
        [*_levels(study, judgement.baseline, factors), points(judgement.means.get(judgement.baseline), signed=False),
         "", "", str(judgement.runs.get(judgement.baseline, 0)), "  baseline"],
    ]  # fmt: skip
    for each in judgement.verdicts:
        half = None if each.high is None or each.effect is None else each.high - each.effect
        mean = points(judgement.means.get(each.arm), signed=False)
        rows.append(
            [*_levels(study, each.arm, factors), mean, points(each.effect), points(half, signed=False), str(each.n),
             verdict_words(each)]
        )  # fmt: skip
    return [header, *rows]


def progress(study: Study) -> list[str]:
    """How far a study is, in lines; what it means is the report's."""
    found = _head(study)
    factors = list(study.levels(study.plan["baseline"])) or ["arm"]
    rows = [[*(name.rpartition(".")[2] for name in factors), "acc %", "done", ""]]
    for arm in study.arms:
        states = Counter(study.statuses[cell["key"]] for cell in study.cells if cell["arm"] == arm)
        others = ", ".join(f"{number} {status}" for status, number in sorted(states.items()) if status != "finished")
        done = f"{sum(states[each] for each in ENDED)} of {states.total()}"
        mean = study.mean(arm)
        rows.append([*_levels(study, arm, factors), points(mean, signed=False), done, others])
    found += ["", *_laid_out(rows, fixed=3), ""]
    members = Counter(cell.get("member", 1) for cell in study.cells)
    if len(members) > 1:
        ended = Counter(cell.get("member", 1) for cell in study.cells if study.statuses[cell["key"]] in ENDED)
        found.append("; ".join(f"member {each}: {ended[each]} of {members[each]}" for each in sorted(members)))
    seconds = [spent for each in study.results.values() if (spent := each.get("seconds"))]
    left = len(study.cells) - sum(study.tally[each] for each in ENDED)
    if left and seconds:
        found.append(f"left: {left} runs, about {duration(left * fmean(seconds))} as long as they took so far")
    folders = [part for each in study.output_dirs if each != Path("outputs") for part in ("--output-dir", str(each))]
    report = shlex.join(["ablate", "report", study.plan["study"], *folders])
    return [*found, *(next_steps(study, None) if left else []), f"`{report}` says what it shows"]


def _head(study: Study) -> list[str]:
    """The study, its question, and what is left out."""
    plan = study.plan
    states = ", ".join(f"{number} {status}" for status, number in sorted(study.tally.items()))
    found = [f"study {plan['study']}, plan {plan['plan_id']}: {states or 'no runs'}"]
    if question := plan.get("question"):
        found.append(f"question: {_one_line(question)}")
    return [*found, *study.credits, *study.notes]


def lines(study: Study, judgement: Judgement | None) -> list[str]:
    """What is known of a study, in lines; the table has at most 80 columns where its names allow."""
    found = _head(study)
    if judgement is None:
        return [*found, why_no_verdict(study), *next_steps(study, None)]
    found += ["", *_laid_out(table(study, judgement)), ""]
    found += [judgement.look.sentence(), *noise(judgement)]
    found += staging.lines(study, staging.staging(study))
    found += [*_effects(study, judgement), *_flag_lines(flagged(study, judgement))]
    found += [*confirmation.lines(study), *decisions.lines(study, judgement), *_costs(study, judgement)]
    return [*found, *next_steps(study, judgement)]


def listed(folders: Sequence[Path]) -> list[str]:
    """A line for each study that the folders hold."""
    names = sorted({name for folder in folders for name in reading.studies(Layout(folder))})
    found = []
    for name in names:
        try:
            study = gather(folders, name)
        except UserError as error:
            found.append(str(error))
            continue
        states = ", ".join(f"{number} {status}" for status, number in sorted(study.tally.items()))
        found.append(
            f"{name}: {len(study.arms)} arms, {states}; {_one_line(study.plan.get('question') or 'no question')}"
        )
    return found or [f"no studies in {', '.join(map(str, folders))}; `ablate help study` says how to make one"]


def why_no_verdict(study: Study) -> str:
    """What is said of a study that can't be judged."""
    if study.waiting == {cell["seed"] for cell in study.cells}:
        return "no verdict yet: no seed has all of its runs"
    return f"no verdict: no run of the baseline, {study.plan['baseline']}, has an accuracy; make another arm the first"


def resume(study: Study, *further: str) -> str:
    """The command that goes on with a study, from here."""
    who = ["team.member=N"] if study.plan.get("size", 1) > 1 else []
    return command(study, "resume", *who, *further)


def command(study: Study, name: str, *further: str) -> str:
    """A command on a study, from here."""
    (folder, *_) = study.output_dirs
    places = [] if folder == Path("outputs") else ["--output-dir", str(folder)]
    return " ".join(map(for_shell, ["ablate", name, study.plan["study"], *further, *places]))


def next_steps(study: Study, judgement: Judgement | None) -> list[str]:
    """What to run next."""
    if study.plan.get("design") == "search":
        where = "" if not study.tally["missing"] else "; `ablate collect` brings the runs that lie elsewhere"
        return [f"next: a study of the levels that did best, with study.seeds=3, tells whether they matter{where}"]
    missing = sum(study.tally[status] for status in ("missing", "running", "failed"))
    of = dataclasses.replace(study, plan={**study.plan, "study": study.stage_of or study.plan["study"]})
    if missing:
        return [f"next: {missing} of {len(study.cells)} runs are left; `{resume(of)}` runs them"]
    staged = staging.staging(study)
    if study.stage_of or (staged and not staged.promotion.is_settled):
        return [f"next: `{resume(of)}` runs, on more of the data, what these show to be worth it"]
    if judgement is None:
        return []
    from ablate.study.following import is_within_reach

    judgement = staging.of_those_that_may_be_best(judgement, staged)
    if not judgement.verdicts and staged:
        return ["next: only the baseline may still be the best; nothing that would change that is left to run"]
    if not judgement.verdicts:
        return ["next: give a factor two levels, such as arch=cylinder,pyramid"]
    if judgement.look.seeds < 2:
        return [f"next: `{resume(study, 'study.seeds=3')}` gives an idea of chance"]
    undecided = sum(each.word == "undecided" for each in judgement.verdicts)
    if any(each.word == "undecided" and is_within_reach(each) for each in judgement.verdicts):
        which = "the arm that is" if undecided == 1 else f"most of the {undecided} arms that are"
        return [f"next: `{command(study, 'next')}` says which seeds would settle {which} undecided, and their hours"]
    is_open = not confirmation.lines(study) and not confirmation.is_one(study)
    if any(each.word == "better" for each in judgement.verdicts) and is_open:
        how = command(study, "confirm")
        return [f"next: the best arm looks better than it is, since it was picked; `{how}` tries it on fresh seeds"]
    if undecided:
        return ["next: no number of seeds within reach is seen to settle the rest; a wider study.margin, or other arms"]
    return ["next: every arm has its verdict"]


def noise(judgement: Judgement) -> list[str]:
    """By what all is judged, in points of accuracy."""
    if judgement.deviation is None:
        return []
    found = [f"noise: {100 * judgement.deviation:.2f} points from run to run, seeds compared with themselves"]
    if judgement.pairing is not None:
        found[0] += f" ({judgement.pairing:.1f} times as much without)"
    if judgement.detectable is not None:
        found.append(f"differences from {100 * judgement.detectable:.2f} points on are found, four times in five")
    if judgement.machine_spread is not None:
        found.append(f"machines differ by up to {100 * judgement.machine_spread:.2f} points, which is taken out")
    found.append(f"equivalent means: within {100 * judgement.margin:.2f} points of the baseline")
    return found


def _costs(study: Study, judgement: Judgement) -> list[str]:
    """What all of it took, and what that is for each arm that is settled."""
    seconds = staging.seconds(study)
    settled = sum(each.word != "undecided" for each in judgement.verdicts)
    if not seconds:
        return []
    return [f"training took {duration(seconds)}" + (f", {duration(seconds / settled)} a verdict" if settled else "")]


def _effects(study: Study, judgement: Judgement) -> list[str]:
    """What each factor does, a line each, and which of them depend on one another."""
    from ablate.report.findings import effects_of_factors
    from ablate.report.judging import model_of

    main, both = effects_of_factors(study, model_of(study, judgement))
    found = []
    for term in main:
        parts = []
        for each in term.contrasts:
            low, high = each.estimate.interval()
            half = "" if low is None or high is None else f" ± {points((high - low) / 2, signed=False)}"
            parts.append(f"{each.levels[0]} {points(each.estimate.effect)}{half}")
        found.append(f"{term.factors[0]}: {', '.join(parts) or 'not told by these arms'}")
    surely = [
        " with ".join(term.factors) for term in both if term.p_adjusted is not None and term.p_adjusted <= _SURELY
    ]
    if found:
        found.insert(0, f"over all levels of the others, in points against {short(study, judgement.baseline)}:")
    return [*found, *([f"what one does depends on the other: {'; '.join(surely)}"] if surely else [])]


def _flag_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Each flag once, with its arms."""
    meaning = {
        "confounded": "confounded (never on the baseline's machine and seed)",
        "noisier": "noisier than the others, and judged by its own spread",
        "diverged": "with runs that diverged",
        "not-re-tuned": "not re-tuned (no learning rate of its own was looked for, or it is best at the border)",
    }
    found = []
    for flag, words in meaning.items():
        arms = [each.arm for each in verdicts if flag in each.flags]
        if arms:
            which = "all arms" if 1 < len(arms) == len(verdicts) else ", ".join(arms)
            found.append(f"{words}: {which}")
    stand = [f"{each.arm} (after {each.since} seeds)" for each in verdicts if each.since]
    return [*found, *([f"settled at an earlier look, which stands: {', '.join(stand)}"] if stand else [])]


def _one_line(text: str) -> str:
    return clipped(" ".join(text.split()))


def _levels(study: Study, arm: str, factors: Sequence[str]) -> list[str]:
    levels = study.levels(arm)
    return [levels.get(factor, arm if factor == "arm" else "") for factor in factors]


def _laid_out(rows: list[list[str]], fixed: int = 5) -> list[str]:
    """Rows with their columns below each other; where 80 are not enough, factors' names give way, then their levels.

    The last columns, `fixed` of them, keep their width.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    factors = len(rows[0]) - fixed
    while sum(widths) + 2 * (len(widths) - 1) > _MOST_COLUMNS and max(widths[:factors]) > 6:
        levels = [max(len(row[column]) for row in rows[1:]) for column in range(factors)]
        spare = [width - level for width, level in zip(widths[:factors], levels, strict=True)]
        widths[spare.index(max(spare)) if max(spare) > 0 else widths.index(max(widths[:factors]))] -= 1
    return [
        "  ".join(_cut(text, width).ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
