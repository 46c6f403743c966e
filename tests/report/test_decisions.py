"""`ablate decide`, `ablate next`: the real commands on records alone."""

import shutil
from pathlib import Path

import pytest

from ablate.__main__ import main
from tests.report.studies import recorded, said

BASE, PYRAMID, DIAMOND = "arch=cylinder", "arch=pyramid", "arch=diamond"
TABLE: dict[str, list[float | str | None]] = {
    BASE: [0.500, 0.520, 0.510],
    PYRAMID: [0.531, 0.549, 0.540],
    DIAMOND: [0.505, 0.520, 0.514],
    "arch=hourglass": [0.459, 0.481, 0.470],
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_decision_stands_until_later_runs_overturn_it(capsys: pytest.CaptureFixture[str]) -> None:
    recorded(Path("outputs"), TABLE)
    assert "nothing is decided yet" in said(capsys, "decide", "shapes")
    told = said(capsys, "decide", "shapes", "keep pyramid:\nbetter", "--by", "\nann\x1b[31m")
    assert told.startswith("decision 1, ") and r"by ann\x1b[31m: keep pyramid: better" in told
    assert "keep pyramid: better" in said(capsys, "report", "shapes") and "NO LONGER" not in said(
        capsys, "decide", "shapes"
    )
    more = {arm: [*row, *([0.40, 0.45, 0.42] if arm == PYRAMID else [0.51, 0.52, 0.50])] for arm, row in TABLE.items()}
    recorded(Path("outputs"), more)
    told = said(capsys, "decide", "shapes", "look at hourglass again")
    first, second = told.splitlines()
    assert f"NO LONGER AS IT STOOD: {PYRAMID} was better, and is " in first and "NO LONGER" not in second
    assert first in said(capsys, "report", "shapes").splitlines()


def test_the_page_has_the_decisions_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    places = recorded(Path("outputs"), TABLE)
    said(capsys, "report", "shapes")
    assert "<h2>Decided</h2>" not in (places.study("shapes") / "report.html").read_text()
    said(capsys, "decide", "shapes", "keep pyramid: <script>alert(1)</script>", "--by", "<b>ann")
    recorded(Path("outputs"), TABLE | {PYRAMID: [0.40, 0.45, 0.42]})
    said(capsys, "report", "shapes")
    page = (places.study("shapes") / "report.html").read_text()
    assert "by &lt;b&gt;ann: keep pyramid: &lt;script&gt;alert(1)&lt;/script&gt; -- NO LONGER AS IT STOOD: " in page
    assert "<script" not in page and "<b>" not in page


def test_a_log_that_is_malformed_is_named_and_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    places = recorded(Path("outputs"), TABLE)
    for text in ("keep pyramid", "drop hourglass"):
        said(capsys, "decide", "shapes", text, "--by", "ann")
    log = places.decisions("shapes")
    good = log.read_text().splitlines()
    log.write_text("\n".join([good[0], '{"by": 3}', good[1], ""]))
    before = log.read_text()
    told = [line for line in said(capsys, "report", "shapes").splitlines() if "ecision" in line]
    assert told[0].endswith("keep pyramid") and told[2].startswith("decision 3, ") and len(told) == 3
    assert "decisions.jsonl, line 2: " in told[1] and "mend its line, or move the file away" in told[1]
    assert said(capsys, "decide", "shapes").splitlines() == told
    assert main(["decide", "shapes", "keep diamond"]) == 2
    assert "decisions.jsonl, line 2: " in capsys.readouterr().err and log.read_text() == before


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_decision_without_words_is_refused(capsys: pytest.CaptureFixture[str], text: str) -> None:
    recorded(Path("outputs"), TABLE)
    assert main(["decide", "shapes", text]) == 2 and "the text is empty" in capsys.readouterr().err


def test_next_leaves_out_what_is_settled_and_gives_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    recorded(Path("outputs"), TABLE)
    told = said(capsys, "next", "shapes").splitlines()
    assert told[0].startswith(f"{DIAMOND}: undecided; ") and "2 settled arms get none" in told[-2]
    seeds = int(told[0].rpartition(" ")[2])
    assert told[-2].startswith(f"{2 * (seeds - 3)} runs, about ")
    stops = f"\"study.stop=['{PYRAMID}: 3','arch=hourglass: 3']\""
    assert told[-1] == f"`ablate resume shapes study.seeds={seeds} {stops}`"
    assert "left for want of time" not in said(capsys, "next", "shapes", "--hours", "10")
    assert "--hours is too little for the first of 1 undecided arms" in said(
        capsys, "next", "shapes", "--hours", "0.0001"
    )
    with pytest.raises(SystemExit):
        main(["next", "shapes", "--hours", "-1"])


def test_next_says_first_what_is_missing_or_that_nothing_is(capsys: pytest.CaptureFixture[str]) -> None:
    recorded(Path("outputs"), {BASE: [0.5, ""], PYRAMID: [0.6, 0.6]})
    assert "1 of 4 runs are left; `ablate resume shapes`" in said(capsys, "next", "shapes")
    recorded(Path("outputs"), {BASE: [0.50, 0.52, 0.51], PYRAMID: [0.60, 0.62, 0.61]}, name="clear")
    assert "`ablate confirm clear`" in said(capsys, "next", "clear")
    recorded(Path("outputs"), {BASE: [0.5], PYRAMID: [0.6]}, name="one")
    assert "study.seeds=3" in said(capsys, "next", "one")


def test_a_decision_without_its_evidence_is_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    places = recorded(Path("outputs"), TABLE)
    said(capsys, "decide", "shapes", "keep pyramid", "--by", "ann")
    shutil.rmtree(places.runs)
    assert "NO LONGER AS IT STOOD: there is no verdict any more" in said(capsys, "decide", "shapes")
    assert main(["confirm", "shapes"]) == 2
    assert "no verdict yet: no seed has all of its runs; `ablate resume shapes` goes on" in capsys.readouterr().err


def test_seeds_that_have_joined_the_study_confirm_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    recorded(Path("outputs"), TABLE)
    recorded(Path("outputs"), {BASE: TABLE[BASE], PYRAMID: TABLE[PYRAMID]}, name="shapes-confirm")
    told = said(capsys, "report", "shapes")
    assert "on fresh seeds (3 of shapes-confirm): arch=pyramid " in told
    assert "of these seeds 0, 1, 2 have joined the study since" in told
