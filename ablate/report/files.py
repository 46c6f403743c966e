"""What a report leaves in a study's folder: tables of runs and of verdicts, and the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ablate.file import write_atomically
from ablate.record import layout
from ablate.record.layout import Layout
from ablate.report.gather import Study
from ablate.report.words import flagged, table
from ablate.study.verdict import Judgement

_RUN_COLUMNS = (
    "key", "arm", "seed", "member", "machine", "status", "val/accuracy", "val/loss", "best_epoch", "epochs",
    "num_params", "seconds",
)  # fmt: skip
VERDICT_COLUMNS = ("arm", "effect", "low", "high", "p_adjusted", "n", "verdict", "more_seeds", "flags")


def write(places: Layout, study: Study, judgement: Judgement | None) -> Path:
    """Write all files of a study's report; gives the page."""
    from ablate.report.page import page

    folder = places.study(study.plan["study"])
    contents = {layout.RUNS_TABLE: _csv(runs(study)), layout.PAGE: page(study, judgement)}
    if judgement is not None:
        rows = table(study, judgement)
        contents[layout.VERDICTS] = _csv(verdicts(study, judgement))
        contents[layout.VERDICTS_MARKDOWN] = markdown(rows)
        contents[layout.VERDICTS_LATEX] = latex(rows)
    for name in (layout.VERDICTS, layout.VERDICTS_MARKDOWN, layout.VERDICTS_LATEX):
        if judgement is None:  # those of an earlier report would say what no longer holds
            (folder / name).unlink(missing_ok=True)
    for name, content in contents.items():
        with write_atomically(folder / name) as file:
            file.write(content.encode())
    return folder / layout.PAGE


def runs(study: Study) -> list[list[object]]:
    """Header and a row a run."""
    found: list[list[object]] = [list(_RUN_COLUMNS)]
    for cell in study.cells:
        known: dict[str, object] = dict(study.results.get(cell["key"], {}))
        for inner in ("metrics", "machine"):
            nested = known.pop(inner, None)
            if isinstance(nested, dict):
                known |= {"machine": nested.get("name")} if inner == "machine" else nested
        known |= {"member": cell.get("member"), "arm": cell["arm"], "seed": cell["seed"], "key": cell["key"]}
        known["status"] = study.statuses[cell["key"]]
        found.append([known.get(name) for name in _RUN_COLUMNS])
    return found


def verdicts(study: Study, judgement: Judgement) -> list[list[object]]:
    """Header and a row an arm but the baseline; effects are fractions of frames."""
    rows: list[list[object]] = [list(VERDICT_COLUMNS)]
    for each in flagged(study, judgement):
        estimate = [each.effect, each.low, each.high, each.p_adjusted]
        rows.append([each.arm, *estimate, each.n, each.word, each.more_seeds, ";".join(each.flags)])
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    r"""A table for a write-up.

    >>> print(markdown([["arch", "effect"], ["a|b", "+0.10"]]), end="")
    | arch | effect |
    |---|---|
    | a\|b | +0.10 |
    """
    lines = ["| " + " | ".join(text.strip().replace("|", "\\|") for text in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def latex(rows: Sequence[Sequence[str]]) -> str:
    r"""A table for a write-up in LaTeX.

    >>> print(latex([["num_params"], ["5%"]]), end="")
    \begin{tabular}{l}
    num\_params \\
    \hline
    5\% \\
    \end{tabular}
    """
    lines = [" & ".join(_escaped(text.strip()) for text in row) + r" \\" for row in rows]
    return "\n".join(
        [f"\\begin{{tabular}}{{{'l' * len(rows[0])}}}", lines[0], r"\hline", *lines[1:], r"\end{tabular}", ""]
    )


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(letter, f"\\{letter}" if letter in "&%$#_{}" else letter) for letter in text)


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """A value as a spreadsheet shows it, and takes for no formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):
        return f"'{value}"
    return "" if value is None else value
