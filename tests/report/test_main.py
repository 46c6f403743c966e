"""`ablate report` and `ablate status`: words, files and the page, by the real command and from records alone."""

import csv
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ablate.__main__ import main
from ablate.report.files import latex, markdown
from tests.report.studies import recorded, said

TABLE: dict[str, list[float | str | None]] = {
    "arch=cylinder,optimizer=adamw": [0.500, 0.520, 0.510],
    "arch=cylinder,optimizer=sgd": [0.440, 0.463, 0.451],
    "arch=pyramid,optimizer=adamw": [0.531, 0.549, 0.540],
    "arch=pyramid,optimizer=sgd": [None, None, None],
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_studys_verdicts_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    recorded(Path("outputs"), TABLE, question="Which shape?")
    text = said(capsys, "report", "shapes")
    lines = text.splitlines()
    assert "question: Which shape?" in lines
    header = next(line for line in lines if line.startswith("arch"))
    assert header.split() == ["arch", "optimizer", "acc", "%", "effect", "±", "95", "%", "n", "verdict"]
    rows = {" ".join(line.split()[:2]): line for line in lines if line.startswith(("cylinder", "pyramid"))}
    assert rows["cylinder adamw"].endswith("baseline") and " 51.00 " in rows["cylinder adamw"]
    assert rows["cylinder sgd"].endswith("- worse") and "-5.87" in rows["cylinder sgd"]
    assert rows["pyramid adamw"].endswith("+ better") and "+3.00" in rows["pyramid adamw"]
    assert rows["pyramid sgd"].endswith("- worse, 3 of 3 diverged")
    assert all(len(line) <= 80 for line in lines if line.startswith(("arch", "cyl", "pyr")))
    assert "The planned look, after all 3 seeds" in text and "next: " in lines[-2]


def test_a_status_says_how_far_a_study_is(capsys: pytest.CaptureFixture[str]) -> None:
    recorded(Path("outputs"), TABLE | {"arch=diamond,optimizer=sgd": [0.5, "", "x"]}, question="Which shape?")
    lines = said(capsys, "status", "shapes").splitlines()
    assert "question: Which shape?" in lines
    rows = {" ".join(line.split()[:2]): line.split()[2:] for line in lines if "of 3" in line}
    assert rows["cylinder adamw"] == ["51.00", "3", "of", "3"]
    assert rows["pyramid sgd"] == ["3", "of", "3", "3", "diverged"]
    assert rows["diamond sgd"] == ["50.00", "1", "of", "3", "1", "failed,", "1", "missing"]
    assert lines[-3:] == [
        "left: 2 runs, about 3.0 s as long as they took so far",
        "next: 2 of 15 runs are left; `ablate resume shapes` runs them",
        "`ablate report shapes` says what it shows",
    ]


def test_without_a_name_the_studies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no studies in outputs" in said(capsys, "report")
    recorded(Path("outputs"), TABLE, question="Which shape?")
    recorded(Path("elsewhere"), TABLE, name="other")
    assert said(capsys, "report") == "shapes: 4 arms, 3 diverged, 9 finished; Which shape?\n"
    both = said(capsys, "status", "--output-dir", "outputs", "--output-dir", "elsewhere")
    assert [line.split(":")[0] for line in both.splitlines()] == ["other", "shapes"]


def test_an_unknown_study_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    recorded(Path("outputs"), TABLE)
    assert main(["report", "shaps"]) == 2
    assert capsys.readouterr().err == "ablate: shaps: no such study in outputs; did you mean shapes?\n"
    assert main(["study.name=shapes"]) == 2
    assert "`ablate status shapes` says how far the study is" in capsys.readouterr().err


def test_the_tables_beside_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    places = recorded(Path("outputs"), TABLE)
    said(capsys, "report", "shapes")
    with (places.study("shapes") / "verdicts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["arm", "effect", "low", "high", "p_adjusted", "n", "verdict", "more_seeds", "flags"]
    assert [row["verdict"] for row in rows] == ["worse", "better", "worse"]
    assert float(rows[1]["effect"]) == pytest.approx(0.03) and rows[2]["flags"] == "diverged;not-re-tuned"
    with (places.study("shapes") / "runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert len(runs) == 12 and runs[0]["val/accuracy"] == "0.5" and runs[0]["machine"] == "here"
    assert "| cylinder | adamw | 51.00 |" in (places.study("shapes") / "verdicts.md").read_text()
    assert r"\begin{tabular}" in (places.study("shapes") / "verdicts.tex").read_text()


class Page(HTMLParser):
    """What a page refers to, and what stands in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]


def test_the_page_is_whole_by_itself_and_the_same_from_the_same_records(capsys: pytest.CaptureFixture[str]) -> None:
    places = recorded(Path("outputs"), TABLE, question="Which shape?")
    pages = []
    for _ in range(2):
        said(capsys, "report", "shapes")
        pages.append((places.study("shapes") / "report.html").read_bytes())
    assert pages[0] == pages[1] and len(pages[0]) < 1_000_000
    text = pages[0].decode()
    page = Page(text)
    assert all(address.startswith("#") for address in page.addresses), page.addresses
    assert not re.search(r"url\((?!#)", text) and "script" not in page.tags
    assert page.tags.count("svg") == 3 and page.tags.count("h1") == 1 and "<h1>Which shape?</h1>" in text
    assert "pyramid, adamw is better than the baseline (cylinder, adamw): +3.00 points" in text
    assert "+3.00 points, between" in text and "all runs diverged" in text


def test_what_a_name_or_a_question_puts_into_the_page_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "<script>alert(1)</script>"
    table = {
        "arch=a": [0.5, 0.52],
        f"arch={hostile}": [0.6, 0.63],
        'arch="onload=x': [0.5, 0.51],
        "arch=$x^2$": [0.5, 0.53],
    }
    places = recorded(Path("outputs"), table, question=hostile)
    said(capsys, "report", "shapes")
    text = (places.study("shapes") / "report.html").read_text()
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "script" not in Page(text).tags


@pytest.mark.parametrize(
    ("table", "answer"),
    [
        ({"a=1": [0.5]}, "There is one arm, hence nothing to compare"),
        ({"a=1": [0.5], "a=2": [0.6]}, "a=2 is not settled against the baseline (a=1). The difference: +10.00"),
        ({"a=1": ["", ""], "a=2": [0.6, 0.6]}, "No verdict yet: no seed has all of its runs."),
        ({"a=1": [None, None], "a=2": [None, None]}, "No verdict: no run of the baseline, a=1, has an accuracy"),
        ({"a=1": [0.5, 0.5], "a=2": [0.5, 0.5]}, "a=2 is equivalent to the baseline (a=1)"),
        ({"a=1": [0.5, 0.52, 0.51], "a=2": ["x", "x", "x"]}, "one arm, hence nothing"),
        ({"a=1": [0.5, None, 0.51], "a=2": [0.5, 0.55, ""]}, "a=2 is not settled against"),
    ],
)
def test_odd_studies_have_a_sensible_page(
    table: dict[str, list[float | str | None]], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = recorded(Path("outputs"), table)
    said(capsys, "report", "shapes")
    assert answer in (places.study("shapes") / "report.html").read_text()


def test_a_status_needs_neither_torch_nor_a_picture(tmp_path: Path) -> None:
    recorded(Path("outputs"), TABLE)
    heavy = ("torch", "wandb", "matplotlib", "jinja2", "hydra", "scipy", "numpy")
    code = (
        "import sys; from ablate.status import main\n"
        f"assert main(['shapes']) == 0; print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_page_of_many_runs_is_small(capsys: pytest.CaptureFixture[str]) -> None:
    table = {f"arch=a{arm}": [0.5 + 0.001 * ((7 * arm + 3 * seed) % 11) for seed in range(5)] for arm in range(100)}
    places = recorded(Path("outputs"), table)
    for file in Path("outputs/runs").glob("*/metrics.jsonl"):
        file.write_text("".join(json.dumps({"epoch": epoch, "val/accuracy": 0.5}) + "\n" for epoch in range(1, 51)))
    said(capsys, "report", "shapes")
    assert (places.study("shapes") / "report.html").stat().st_size < 1_000_000


def test_a_spreadsheet_takes_no_cell_for_a_formula(capsys: pytest.CaptureFixture[str]) -> None:
    places = recorded(Path("outputs"), {"arch=a": [0.5, 0.52]}, machines=["=cmd()", "@x"])
    said(capsys, "report", "shapes")
    with (places.study("shapes") / "runs.csv").open() as file:
        assert [row["machine"] for row in csv.DictReader(file)] == ["'=cmd()", "'@x"]


def test_tables_for_a_write_up_escape_what_their_language_reads() -> None:
    assert markdown([["a"], ["x|y"]]).splitlines()[2] == r"| x\|y |"
    assert r"50\% of \_x\$ \textbackslash{}" in latex([["a"], ["50% of _x$ \\"]])
