"""A study's page: one HTML file without any outside address, the same bytes from the same records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ablate.config.override import for_shell
from ablate.page.template import rendered
from ablate.recipe.data.phoneme import PHONEMES
from ablate.record.reading import CellRecord
from ablate.report import decisions
from ablate.report.findings import Findings, findings, hours, most_changed, origins
from ablate.report.gather import Study
from ablate.report.picture import agreement, confusions, forest, pictures
from ablate.report.staging import lines, rows, staging
from ablate.report.words import flagged, next_steps, noise, points, short, verdict_words, why_no_verdict
from ablate.study.plan import untold
from ablate.study.verdict import Judgement, Verdict

Name = Callable[[str], str]


def page(study: Study, judgement: Judgement | None) -> str:
    """The page; what a name or a record holds is escaped."""
    from markupsafe import Markup

    seeds = sorted({cell["seed"] for cell in study.cells})
    by_place = {(cell["arm"], cell["seed"]): study.statuses[cell["key"]] for cell in study.cells}
    # Our own pictures are markup; the texts in them are escaped by what draws them.
    drawn = [(title, Markup(picture), what) for title, picture, what in pictures(study, judgement)]
    found = findings(study, judgement) if judgement else None
    confused = found and found.confused
    staged = staging(study)
    names = PHONEMES if confused and len(confused.of_arm) == len(PHONEMES) else []
    names = names or [str(number) for number in range(len(confused.of_arm) if confused else 0)]
    by_arm, by_member = hours(study)
    name = partial(short, study)
    verdicts = (
        sorted(flagged(study, judgement), key=lambda each: -1.0 if each.effect is None else each.effect, reverse=True)
        if judgement
        else []
    )
    of_all = [flag for flag in (verdicts[0].flags if verdicts else ()) if all(flag in each.flags for each in verdicts)]
    return rendered(
        Path(__file__).with_name("page.html"),
        study=study,
        judgement=judgement,
        answer=answer(study, judgement, name),
        short=name,
        verdicts=verdicts,
        flags_of_all=of_all,
        forest=Markup(forest(judgement, name)) if judgement and judgement.verdicts else "",
        found=found,
        interaction_words=interaction_words(found) if found else [],
        untold=untold(study.plan["design"], len(study.levels(study.plan["baseline"])), study.plan.get("aliases", [])),
        curse=curse(found, name) if found else None,
        confusions=[Markup(picture) for picture in confusions(confused, names)] if confused else [],
        most_changed=most_changed(confused, names) if confused else [],
        by_arm=by_arm,
        by_member=by_member,
        origins=origins(study),
        noise=noise(judgement) if judgement else [],
        decided=decisions.lines(study, judgement),
        stage_lines=lines(study, staged),
        stage_rows=rows(study, staged) if staged else [],
        agreement=Markup(agreement(study, staged)) if staged else "",
        pictures=drawn,
        seeds=seeds,
        coverage=[(arm, [by_place.get((arm, seed), "-") for seed in seeds]) for arm in study.arms],
        next_steps=next_steps(study, judgement),
        points=points,
        in_words=partial(in_words, baseline=judgement.means.get(judgement.baseline) if judgement else None),
        between=between,
        p_value=p_value,
        verdict_words=verdict_words,
        command=command,
    )


def answer(study: Study, judgement: Judgement | None, name: Name = str) -> str:
    """What came out, in two sentences."""
    if judgement is None:
        said = why_no_verdict(study)
        return f"{said[0].upper()}{said[1:]}."
    if not judgement.verdicts:
        return "There is one arm, hence nothing to compare. Give a factor two levels."
    named = {
        word: [each.arm for each in judgement.verdicts if each.word == word]
        for word in ("better", "worse", "equivalent", "undecided")
    }
    count, baseline = len(judgement.verdicts), name(judgement.baseline)
    if named["better"]:
        best = max((each for each in judgement.verdicts if each.word == "better"), key=lambda each: each.effect or 0.0)
        first = f"{name(best.arm)} is better than the baseline ({baseline}): {in_words(best)}."
        if len(named["better"]) > 1:
            first = (
                f"{len(named['better'])} arms are better than the baseline ({baseline}), most of all {name(best.arm)}: "
            )
            first += f"{in_words(best)}."
    elif count == 1:
        (only,) = judgement.verdicts
        how = {"worse": "is worse than", "equivalent": "is equivalent to"}.get(only.word, "is not settled against")
        return f"{name(only.arm)} {how} the baseline ({baseline}). The difference: {in_words(only)}."
    else:
        first = f"None of {count} arms is shown to be better than the baseline ({baseline})."
    others = [f"{len(named[word])} {word}" for word in ("worse", "equivalent", "undecided") if named[word]]
    if not others:
        return f"{first} Confirm it on fresh seeds."
    return f"{first} Of {'the others' if named['better'] else 'them'}, {', '.join(others)}."


def in_words(verdict: Verdict, baseline: float | None = None) -> str:
    """A difference in points with its interval, and what part of the baseline's errors it is.

    >>> in_words(Verdict("a", "better", 0.008, 0.003, 0.013, 0.001, 3), baseline=0.6)
    '+0.80 points, between +0.30 and +1.30: 2 % of the errors'
    """
    if verdict.effect is None:
        return "all runs diverged" if verdict.num_diverged else "can't be told from these runs"
    said = between(verdict.effect, verdict.low, verdict.high)
    if baseline is None or baseline >= 1:
        return said
    share = 100 * abs(verdict.effect) / (1 - baseline)
    part = "less than 1" if share < 0.5 else f"{share:.0f}"
    return f"{said}: {part} % {'of the' if verdict.effect >= 0 else 'more'} errors"


def between(effect: float, low: float | None, high: float | None) -> str:
    """A difference in points with its interval.

    >>> between(0.008, 0.003, 0.013)
    '+0.80 points, between +0.30 and +1.30'
    """
    interval = "" if low is None else f", between {points(low)} and {points(high)}"
    return f"{points(effect)} points{interval}"


def curse(found: Findings, name: Name = str) -> str | None:
    """What is to be expected of the arm that looks best; none where the baseline does."""
    if found.best is None or found.best.effect is None:
        return None
    said = f"{name(found.best.arm)} was picked for looking best, and so looks better than it is."
    if found.kept is None:
        return f"{said} With fewer than four arms there is no telling by how much."
    seeming, expected = points(found.best.effect), points(found.kept * found.best.effect)
    return (
        f"{said} Of its {seeming} points {expected} are to be expected again: the arms' means, drawn together by as "
        f"much of their spread as the noise explains (James and Stein), keep {100 * found.kept:.0f} % of it."
    )


def interaction_words(found: Findings) -> list[tuple[str, str, float | None]]:
    """Each pair of factors: its name, its largest interaction in words, and the p value of there being any."""
    rows = []
    for term in found.both:
        name = " x ".join(term.factors)
        largest = max(term.contrasts, key=lambda each: abs(each.estimate.effect), default=None)
        if largest is None:
            rows.append((name, "can't be told from these arms", term.p_adjusted))
            continue
        both = " with ".join(f"{factor}={level}" for factor, level in zip(term.factors, largest.levels, strict=True))
        said = between(largest.estimate.effect, *largest.estimate.interval())
        rows.append((name, f"{both}: {said} beyond the sum of both", term.p_adjusted))
    return rows


def p_value(p: float | None) -> str:
    """As papers have it.

    >>> p_value(0.0004), p_value(0.0312), p_value(None)
    ('< 0.001', '0.031', '')
    """
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def command(cell: CellRecord) -> str:
    """A run's overrides as every shell takes them."""
    return " ".join(for_shell(each) for each in cell.get("overrides", []))
