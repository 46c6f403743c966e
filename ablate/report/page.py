"""A study's page: one HTML file without any outside address, the same bytes from the same records."""

from __future__ import annotations

from pathlib import Path

from ablate.config.override import for_shell
from ablate.record.reading import CellRecord
from ablate.report.gather import Study
from ablate.report.picture import forest, pictures
from ablate.report.words import flagged, next_steps, noise, points, verdict_words
from ablate.study.verdict import Judgement, Verdict


def page(study: Study, judgement: Judgement | None) -> str:
    """The page; what a name or a record holds is escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    seeds = sorted({cell["seed"] for cell in study.cells})
    by_place = {(cell["arm"], cell["seed"]): study.statuses[cell["key"]] for cell in study.cells}
    # Our own pictures are markup; the texts in them are escaped by what draws them.
    drawn = [(title, Markup(picture)) for title, picture in pictures(study, judgement)]
    return environment.get_template("page.html").render(
        study=study,
        judgement=judgement,
        answer=answer(judgement),
        verdicts=flagged(study, judgement) if judgement else [],
        forest=Markup(forest(judgement)) if judgement and judgement.verdicts else "",
        noise=noise(judgement) if judgement else [],
        pictures=drawn,
        seeds=seeds,
        coverage=[(arm, [by_place.get((arm, seed), "-") for seed in seeds]) for arm in study.arms],
        next_steps=next_steps(study, judgement),
        points=points,
        in_words=in_words,
        p_value=p_value,
        verdict_words=verdict_words,
        command=command,
    )


def answer(judgement: Judgement | None) -> str:
    """What came out, in two sentences."""
    if judgement is None:
        return "Nothing can be said yet. No seed has all of its runs."
    if not judgement.verdicts:
        return "There is one arm, hence nothing to compare. Give a factor two levels."
    named = {
        word: [each.arm for each in judgement.verdicts if each.word == word]
        for word in ("better", "worse", "equivalent", "undecided")
    }
    count = len(judgement.verdicts)
    if named["better"]:
        best = max((each for each in judgement.verdicts if each.word == "better"), key=lambda each: each.effect or 0.0)
        first = f"{best.arm} is better than {judgement.baseline}: {in_words(best)}."
        if len(named["better"]) > 1:
            first = f"{len(named['better'])} arms are better than {judgement.baseline}, most of all {best.arm}: "
            first += f"{in_words(best)}."
    else:
        first = f"None of {count} arms is shown to be better than {judgement.baseline}."
    others = [f"{len(named[word])} {word}" for word in ("worse", "equivalent", "undecided") if named[word]]
    return f"{first} {'Of the others, ' if named['better'] else ''}{', '.join(others) or 'none is left'}."


def in_words(verdict: Verdict) -> str:
    """A difference in points with its interval.

    >>> in_words(Verdict("a", "better", 0.008, 0.003, 0.013, 0.001, 3))
    '+0.80 points, between +0.30 and +1.30'
    """
    if verdict.effect is None:
        return "all runs diverged" if verdict.num_diverged else "can't be told from these runs"
    if verdict.low is None:
        return f"{points(verdict.effect)} points"
    return f"{points(verdict.effect)} points, between {points(verdict.low)} and {points(verdict.high)}"


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
