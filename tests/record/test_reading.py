"""Records of any folder are read typed, or refused in a line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.error import UserError
from ablate.record import reading
from ablate.record.layout import Layout

KEY = "0123456789abcdef"
RESULT: dict[str, Any] = {"key": KEY, "status": "finished", "metrics": {"val/accuracy": 0.5, "val/loss": 1}, "seed": 3}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = Layout(tmp_path).run(KEY)
    folder.mkdir(parents=True)
    return folder


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    folder = Layout(tmp_path).run(KEY)
    assert reading.result(folder) is None and reading.rows(folder) == [] and reading.utterances(folder) == []
    assert reading.plan(Layout(tmp_path), "shapes") is None


def test_a_result_of_any_version_is_read_as_it_is(run: Path) -> None:
    of_the_future = RESULT | {"colour": "green", "metrics": RESULT["metrics"] | {"val/loss_of_sil": 0.1}}
    (run / "result.json").write_text(json.dumps(of_the_future))
    assert reading.result(run) == of_the_future


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "done"}, "status: Input should be 'finished' or 'diverged', found 'done'"),
        ({"metrics": {}}, "metrics.val/accuracy: Field required"),
        ({"metrics": {"val/accuracy": "0.5"}}, "metrics.val/accuracy: Input should be a valid number, found '0.5'"),
        ({"metrics": None}, "metrics: Input should be a valid dictionary, found None"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0, found -1"),
        ({"overrides": "seed=0"}, "overrides: Input should be a valid list, found 'seed=0'"),
        ({"machine": {"device": "cpu"}}, "machine.name: Field required"),
        ({"key": "another"}, f"not a record of {KEY}, but of another"),
        ({"seed": "x" * 1000}, "..."),
    ],
)
def test_a_malformed_result_is_named_in_a_line(change: dict[str, Any], said: str, run: Path) -> None:
    (run / "result.json").write_text(json.dumps(RESULT | change))
    with pytest.raises(UserError) as caught:
        reading.result(run)
    text = str(caught.value)
    assert (
        said in text and text.startswith(f"{run / 'result.json'}: ") and text.endswith("delete the file to train again")
    )
    assert len(text) < 400 and "\n" not in text


@given(content=st.binary(max_size=200))
def test_whatever_stands_there_is_a_record_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    places = Layout(tmp_path_factory.mktemp("any"))
    folder = places.run(KEY)
    folder.mkdir(parents=True)
    for name in ("result.json", "metrics.jsonl", "utterances.csv"):
        (folder / name).write_bytes(content)
    places.study("s").mkdir(parents=True)
    places.plan("s").write_bytes(content)
    for read in (reading.result, reading.rows, reading.utterances, lambda _: reading.plan(places, "s")):
        try:
            read(folder)
        except UserError as error:
            assert "\n" not in str(error)


def test_deep_and_endless_files_cost_no_traceback_and_no_time(run: Path) -> None:
    (run / "result.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"result\.json"):
        reading.result(run)
    os.mkfifo(run / "metrics.jsonl")  # whose reader would wait for a writer for ever
    with pytest.raises(UserError, match=r"metrics.jsonl: expected a file, found something else"):
        reading.rows(run)
    (run / "utterances.csv").mkdir()
    with pytest.raises(UserError, match=r"utterances.csv: expected a file"):
        reading.utterances(run)


def test_rows_and_utterances(run: Path) -> None:
    (run / "metrics.jsonl").write_text('{"epoch": 1, "val/loss": null}\n{"epoch": 2, "val/loss": 0.5}\n')
    assert reading.rows(run) == [{"epoch": 1, "val/loss": None}, {"epoch": 2, "val/loss": 0.5}]
    (run / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": "two"}\n')
    with pytest.raises(UserError, match=r"metrics.jsonl: epoch"):
        reading.rows(run)
    (run / "utterances.csv").write_text('name,correct,frames\n"a,b\u2028c",3,4\n', encoding="utf-8")
    assert reading.utterances(run) == [{"name": "a,b\u2028c", "correct": 3, "frames": 4}]
    for wrong in ("name,correct,frames\na,5,4\n", "name,correct,frames\na,x,4\n", "name,frames\na,4\n"):
        (run / "utterances.csv").write_text(wrong)
        with pytest.raises(UserError, match=r"utterances.csv: "):
            reading.utterances(run)


def test_a_plan(tmp_path: Path) -> None:
    places = Layout(tmp_path)
    cell: dict[str, Any] = {"key": KEY, "arm": "baseline", "seed": 0, "status": "missing"}
    recorded: dict[str, Any] = {
        "study": "s",
        "plan_id": "a-b",
        "design": "grid",
        "baseline": "baseline",
        "cells": [cell],
        "new": 1,
    }
    places.study("s").mkdir(parents=True)
    places.plan("s").write_text(json.dumps(recorded))
    found = reading.plan(places, "s")
    assert found and dict(found) == recorded
    places.plan("s").write_text(json.dumps(recorded | {"study": "t"}))
    with pytest.raises(UserError, match=r"plan.json: not a plan of s, but of t"):
        reading.plan(places, "s")
    places.plan("s").write_text(json.dumps(recorded | {"cells": [cell | {"status": "lost"}]}))
    with pytest.raises(UserError, match=r"plan.json: cells.0.status: .*found 'lost'"):
        reading.plan(places, "s")


def test_a_record_of_mine_stands_for_its_keys_version(run: Path) -> None:
    result = {"key": run.name, "status": "finished", "metrics": {"val/accuracy": 0.5}}
    (run / "result.json").write_text(json.dumps({**result, "results_version": 99}))
    assert reading.result(run)
    with pytest.raises(UserError, match="results_version=99: expected 3, which its key stands for; delete the file"):
        reading.whole_result(run)


def test_a_result_of_many_megabytes_is_none(run: Path) -> None:
    (run / "result.json").write_text("[" + "[]," * 4_000_000 + "[]]")
    with pytest.raises(UserError, match=r"result.json: expected at most 8,388,608 bytes, found 12,000,004"):
        reading.result(run)
