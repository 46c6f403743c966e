"""Members who take runs as they go: the bench's histories at a tenth, and the real command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.bench.histories import histories
from ablate.multirun import claiming
from ablate.record import layout
from ablate.record.claim import Claims
from tests.conftest import Command

STUDY = ["--multirun", "optim=sgd,adamw", "study.seeds=2", "study.name=grid"]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, corpus_cache: Path) -> None:
    """Those of the members, each with the corpus, and the one that they share."""
    for name in ("one", "two", "both"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cache").symlink_to(corpus_cache)
    (tmp_path / "shared").mkdir()


def results(folder: Path) -> dict[str, dict[str, object]]:
    return {file.parent.name: json.loads(file.read_text()) for file in folder.glob("runs/*/result.json")}


def test_no_history_loses_a_run_or_repeats_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert histories(1000, seed=1) == 0  # a tenth of the bench's
    said = capsys.readouterr().out
    assert "lost: 0, repeated: 0, taken from the living: 0" in said


def test_members_share_what_there_is_and_each_sees_all_of_it(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    first = ablate(*tiny, *STUDY, "team.member=1", "team.claims=shared", "output_dir=one")
    assert first.returncode == 0 and "4 finished" in first.stdout, first.stderr
    second = ablate(*tiny, *STUDY, "team.member=2", "team.claims=shared", "output_dir=two")
    assert second.returncode == 0 and "nothing is left to do here" in second.stdout, second.stderr
    assert "there already: 4 runs of member 1" in second.stdout
    assert len(results(tmp_path / "one")) == 4 and not results(tmp_path / "two")
    assert results(tmp_path / "shared") == results(tmp_path / "one")
    assert "baseline" in second.stdout and "adamw" in second.stdout  # the verdict table, from the other's records


def test_a_run_that_was_finished_before_is_brought_in(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    assert ablate(*tiny, "optim=sgd", "output_dir=one").returncode == 0
    done = ablate(*tiny, *STUDY, "team.claims=shared", "output_dir=one", "study.dry_run=true")
    assert done.returncode == 0 and "left to do here: 3 runs" in done.stdout, done.stderr
    other = ablate(*tiny, *STUDY, "team.claims=shared", "output_dir=two", "study.dry_run=true")
    assert "left to do here: 3 runs" in other.stdout and "there already: 1 run of" in other.stdout


def test_a_killed_member_is_taken_over_and_its_checkpoint_gone_on_from(
    ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    line = [
        *(each for each in tiny if each != "epochs=1"),
        "epochs=40",
        *STUDY,
        "team.claims=shared",
        "output_dir=both",
    ]
    process = subprocess.Popen([sys.executable, "-m", "ablate.run", *line], cwd=tmp_path, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(f"both/runs/*/{layout.CHECKPOINT}")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (key,) = [file.parent.name for file in tmp_path.glob(f"both/runs/*/{layout.CHECKPOINT}")]
    rows = (tmp_path / "both" / "runs" / key / layout.ROWS).read_text().splitlines()
    ended = ablate(*line)
    assert ended.returncode == 0 and "4 finished" in ended.stdout, ended.stderr
    assert (tmp_path / "both" / "runs" / key / layout.ROWS).read_text().splitlines()[: len(rows)] == rows
    entries = sorted((tmp_path / "shared" / "cells" / key).glob("*.json"))
    assert [json.loads(each.read_text())["kind"] for each in entries] == ["claimed", "freed", "claimed", "ended"]


def test_nobody_waits_for_whom_a_damaged_entry_might_name_where_the_record_is_here(tmp_path: Path) -> None:
    claims = Claims(tmp_path, 1)
    for key in ("here", "open"):
        assert claims.append(key, 1, "claimed")
        layout.claim(tmp_path, key, 1).write_text("{")
    assert next(claiming.turns(claims, {"here": 0}, 1, lambda _: False), "over") == "over"
    assert next(claiming.turns(claims, {"here": 0, "open": 0}, 1, "open".__eq__)) == []  # wait, and look again


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["team.claims=nowhere"], "team.claims: nowhere: no such folder; mount its disk, or make it"),
        (["team.claims=.", "team.size=2", "team.member=1"], "leave out team.size"),
        (["team.claims=.", "rerun=true"], "leave out rerun, or team.claims"),
    ],
)
def test_what_claims_do_not_go_with_is_refused(ablate: Command, tiny: list[str], asked: list[str], said: str) -> None:
    refused = ablate(*tiny, *STUDY, *asked)
    assert refused.returncode == 2 and said in refused.stderr and len(refused.stderr.splitlines()) == 1
