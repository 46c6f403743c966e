"""The tutorial's commands, in its order, as a group of four types them: what the page promises comes true."""

import csv
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.__main__ import COMMANDS, main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/tutorial.md").read_text()
MEMBERS = ("Anna", "Bert", "Carla", "Dan")
SHORTER = ["data=espeak_tiny", "arch.width=32", "epochs=1"]
"""What a training is cut down by; everything else is typed as the page has it."""

PROMISED = ("nothing is found wrong", "3 finished, 9 missing", "9 copied", "12 of 12 runs are there")
"""Words that the page's sentences tell the reader to look for."""


class Group:
    """Four laptops, a folder each, and what their commands have said."""

    def __init__(self, home: Path, corpus_cache: Path) -> None:
        self.home = home
        self.said: dict[str, str] = {}  # by all who typed a line, one after the other
        self.shares: dict[str, set[str]] = {}  # of runs, as each had trained them before any were sent
        for member in MEMBERS:
            self.outputs(member).mkdir(parents=True)
            shutil.copytree(corpus_cache, self.outputs(member) / "cache")

    def outputs(self, member: str) -> Path:
        return self.home / member / "outputs"

    def runs(self, member: str) -> set[str]:
        return {file.parent.name for file in self.outputs(member).glob("runs/*/result.json")}

    def plan(self, member: str, study: str = "norm") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.outputs(member) / f"studies/{study}/plan.json").read_text())
        return found

    def send_to_anna(self) -> None:
        """What the page asks of Bert, Carla and Dan before Anna collects."""
        self.shares = {member: self.runs(member) for member in MEMBERS}
        for member in MEMBERS[1:]:
            shutil.copytree(self.outputs(member) / "runs", self.home / "Downloads" / member.lower() / "runs")


def commands() -> Iterator[tuple[str, str]]:
    """Who types which line of the page, in its order; lines of other programs install ours."""
    for block in re.findall(r"(?s)```bash\n(.*?)```", PAGE):
        for line in block.splitlines():
            typed, _, whose = line.partition("   # ")
            for member in MEMBERS if whose == "all four" else (whose or "Anna",):
                if typed.startswith("ablate "):
                    yield member, typed.strip()


def shortened(line: str) -> list[str]:
    """A line's arguments, of a training that takes a moment."""
    arguments = [str(Path(each).expanduser()) for each in shlex.split(line)[1:]]
    if arguments[0] == "audit":
        return [*arguments, SHORTER[0]]
    return arguments if arguments[0] in COMMANDS or arguments[0] == "--version" else [*arguments, *SHORTER]


@pytest.fixture
def group(
    tmp_path: Path, corpus_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Group:
    """The group, after all that the page lets it type."""
    group = Group(tmp_path, corpus_cache)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for member, line in commands():
        if " collect " in line:
            group.send_to_anna()
        monkeypatch.chdir(tmp_path / member)
        code = main(shortened(line))
        printed = capsys.readouterr()
        assert code == 0 and not printed.err, (member, line, printed.err)
        group.said[line] = group.said.get(line, "") + printed.out
    return group


def test_a_group_comes_from_clone_to_hand_in(group: Group) -> None:
    check_shares(group)
    check_verdicts(group)
    check_hand_in(group)
    check_quotes(group)


def check_shares(group: Group) -> None:
    """All have one plan, whose shares are it together; no run is trained twice."""
    cells = group.plan("Anna")["cells"]
    assert len({group.plan(member)["plan_id"] for member in MEMBERS}) == 1
    for number, member in enumerate(MEMBERS, 1):
        assert group.shares[member] == {cell["key"] for cell in cells if cell["member"] == number}
    fresh = {cell["key"] for cell in group.plan("Anna", "norm-confirm")["cells"]}
    keys = {cell["key"] for cell in cells}
    assert len(cells) == len(keys) == sum(map(len, group.shares.values())) and not keys & fresh
    assert group.runs("Anna") == keys | fresh
    told = re.findall(r"(?m)^epoch 1/1: |^\[\d+/\d+.*: val accuracy ", "".join(group.said.values()))
    assert len(told) == len(keys | fresh), "a line for each training"


def check_verdicts(group: Group) -> None:
    """The report has a verdict on each arm and its page, and tells what fresh seeds showed and what is decided."""
    with (group.outputs("Anna") / "studies/norm/verdicts.csv").open() as file:
        verdicts = {row["arm"]: row["verdict"] for row in csv.DictReader(file)}
    assert set(verdicts) == {"normalization=cmn", "normalization=zscore"}
    assert set(verdicts.values()) <= {"better", "worse", "equivalent", "undecided"}
    assert (group.outputs("Anna") / "studies/norm/report.html").exists()
    said = group.said["ablate report norm"]
    assert "on fresh seeds (4 of norm-confirm): normalization=cmn +" in said and "keep cmn" in said


def check_hand_in(group: Group) -> None:
    """The only CSV has a row for every frame of the test split, of two runs together."""
    (file,) = (group.outputs("Anna") / "predictions").glob("*.csv")
    assert len(file.stem.split("-")) == 2
    with file.open() as lines:
        header, *rows = csv.reader(lines)
    (audited,) = re.findall(r"(?m)^test +\d+ +0 +([\d,]+) ", group.said["ablate audit"])
    assert header == ["id", "label"] and [row[0] for row in rows] == [str(i) for i in range(len(rows))]
    assert len(rows) == int(audited.replace(",", ""))


def check_quotes(group: Group) -> None:
    """What the page quotes is what the commands say, but for numbers, keys and verdicts."""
    assert all(words in PAGE and any(words in text for text in group.said.values()) for words in PROMISED)
    said = {masked(line) for text in group.said.values() for line in text.splitlines()}
    for block in re.findall(r"(?s)```\n(.*?)```", re.sub(r"(?s)```bash\n.*?```", "", PAGE)):
        for line in block.splitlines():
            assert masked(line) in said, line


def masked(line: str) -> str:
    """What of a line is the same in a training that is cut down."""
    line = re.sub(r"\b[0-9a-f]{16}\b", "key", line)
    line = re.sub(r"[+-]?\d[\d.,]*", "#", line)
    line = re.sub(r"plan \w+-\w+", "plan #", line)
    return " ".join(re.sub(r"[-+=?] (better|worse|equivalent|undecided).*", "verdict", line).split())


def test_the_keys_and_the_plan_that_pages_show_are_those_that_a_reader_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = {typed for _, typed in commands() if typed.endswith("study.dry_run=true")}
    assert main(shlex.split(line)[1:]) == 0
    plan = json.loads(Path("outputs/studies/norm/plan.json").read_text())
    assert f"study norm, plan {plan['plan_id']}: " in PAGE
    keys = {cell["key"] for cell in plan["cells"]}
    hand_in = (ROOT / "docs/hand_in.md").read_text()
    shown = re.findall(r"(?m)^(?:key +)?([0-9a-f]{16})(?:$| )", PAGE + hand_in)
    assert len(shown) == 4 and keys.issuperset(shown)
    typed = [each for line in re.findall(r"ablate predict((?: [0-9a-f]{6}\b)+)", hand_in) for each in line.split()]
    assert len(typed) == 10 and {each[:6] for each in shown} == set(typed)


def test_it_is_one_page_whose_install_is_the_readmes() -> None:
    lines = PAGE.splitlines()
    assert len(lines) <= 110 and max(map(len, lines)) <= 120
    (install,) = (line.partition("   #")[0] for line in lines if line.startswith("pip install"))
    assert install in (ROOT / "README.md").read_text().replace("--torch-backend=cpu ", "")
