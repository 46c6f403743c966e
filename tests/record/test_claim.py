from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.error import BusyError
from ablate.record import claim, layout
from ablate.record.claim import Claims
from ablate.record.lease import Owner

OWNER = Owner("elsewhere", "", 1, 0.0, "a")


class Clock:
    def __init__(self) -> None:
        self.time = 1e6

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def claims(folder: Path, host: str, clock: Clock) -> Claims:
    return Claims(folder, None, replace(OWNER, host=host), clock)


def test_a_cell_is_one_members_until_it_is_freed(tmp_path: Path, clock: Clock) -> None:
    mine, theirs = claims(tmp_path, "mine", clock), claims(tmp_path, "theirs", clock)
    taken = mine.take("k")
    assert taken and theirs.take("k") is None and mine.take("k") is None
    last = theirs.last("k")
    assert last and last.kind == "claimed" and last.owner.host == "mine" and not theirs.is_mine(last)
    taken.free()
    assert theirs.take("k")


def test_a_cell_that_has_ended_is_nobodys_again(tmp_path: Path, clock: Clock) -> None:
    mine, theirs = claims(tmp_path, "mine", clock), claims(tmp_path, "theirs", clock)
    taken = mine.take("k")
    assert taken
    taken.end({"key": "k"})
    taken.free()  # comes too late, and changes nothing
    clock.time += 10 * claim.SILENCE_SECONDS
    assert theirs.take("k") is None and not theirs.free_if_abandoned("k")
    assert (last := theirs.last("k")) and last.kind == "ended" and last.result == {"key": "k"}


def test_who_gives_no_sign_is_taken_over_and_its_result_does_not_count(tmp_path: Path, clock: Clock) -> None:
    mine, theirs = claims(tmp_path, "mine", clock), claims(tmp_path, "theirs", clock)
    slept = mine.take("k")
    assert slept
    slept.give_sign()
    assert not theirs.free_if_abandoned("k")  # begins to watch
    clock.time += claim.SILENCE_SECONDS - 1
    assert not theirs.free_if_abandoned("k") and not theirs.is_alive("k")
    slept.give_sign()
    clock.time += claim.SILENCE_SECONDS - 1
    assert not theirs.free_if_abandoned("k") and theirs.is_alive("k")
    clock.time += claim.SILENCE_SECONDS
    assert theirs.free_if_abandoned("k")
    with pytest.raises(BusyError, match="taken this run over"):
        slept.check()
    taken = theirs.take("k")
    assert taken
    with pytest.raises(BusyError, match="taken this run over"):
        slept.end({"key": "k", "by": "mine"})
    taken.check()
    taken.end({"key": "k", "by": "theirs"})
    assert (last := mine.last("k")) and last.result == {"key": "k", "by": "theirs"}


def test_who_has_died_on_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    here = Owner.this()
    dead = Claims(tmp_path, 1, replace(here, started=here.started - 1000))
    assert dead.take("k")
    living = Claims(tmp_path, 2)
    assert not living.is_alive("k") and living.free_if_abandoned("k")
    assert living.take("k") and living.is_alive("k") and not dead.free_if_abandoned("k")


def test_an_entry_that_was_not_written_out_is_waited_for_and_then_freed(tmp_path: Path, clock: Clock) -> None:
    entry = layout.claim(tmp_path, "k", 1)
    entry.parent.mkdir(parents=True)
    entry.write_text('{"kind": "cla')
    mine = claims(tmp_path, "mine", clock)
    assert mine.take("k") is None and not mine.free_if_abandoned("k")
    clock.time += claim.SILENCE_SECONDS
    assert mine.free_if_abandoned("k") and mine.take("k")


def test_signs_are_given_while_a_claim_is_held_and_it_is_freed_at_the_end(tmp_path: Path, clock: Clock) -> None:
    mine = claims(tmp_path, "mine", clock)
    taken = mine.take("k")
    assert taken
    with pytest.raises(RuntimeError), taken.held():
        assert layout.sign_of_life(layout.claim(tmp_path, "k", 1)).read_text() == "1"
        raise RuntimeError
    assert (last := mine.last("k")) and last.kind == "freed"


def test_what_has_ended_is_published_once_from_its_claim(tmp_path: Path, clock: Clock) -> None:
    mine = claims(tmp_path / "shared", "mine", clock)
    run = tmp_path / "runs" / "k"
    run.mkdir(parents=True)
    (run / layout.ROWS).write_text("{}\n")
    (run / layout.BEST).write_text("weights")
    taken = mine.take("k")
    mine.publish("k", run)  # it has not ended
    assert taken and not (tmp_path / "shared" / "runs").exists()
    ended = {"key": "k", "status": "finished", "metrics": {"val/accuracy": 0.5, "best_epoch": 1}}
    taken.end(ended)
    mine.publish("k", run)
    published = tmp_path / "shared" / "runs" / "k"
    assert sorted(each.name for each in published.iterdir()) == [layout.ROWS, layout.RESULT]
    assert json.loads((published / layout.RESULT).read_text()) == ended
    (published / layout.RESULT).write_text(json.dumps(ended))
    mine.publish("k", run)
    assert (published / layout.RESULT).read_text() == json.dumps(ended), "it is as it is"
    for damaged in ("", json.dumps(ended)[:-9], "null"):
        (published / layout.RESULT).write_text(damaged)
        claims(tmp_path / "shared", "theirs", clock).publish("k")
        assert json.loads((published / layout.RESULT).read_text()) == ended


@pytest.mark.parametrize("result", [None, {"key": "nonsense"}])
def test_an_end_with_the_record_of_no_run_is_freed_in_time(
    result: dict[str, str] | None, tmp_path: Path, clock: Clock
) -> None:
    mine, theirs = claims(tmp_path, "mine", clock), claims(tmp_path, "theirs", clock)
    assert mine.append("k", 1, "ended", result)
    assert not theirs.free_if_abandoned("k")
    clock.time += claim.SILENCE_SECONDS
    assert theirs.free_if_abandoned("k") and theirs.take("k")


def _take_all(folder: Path) -> list[str]:
    mine = Claims(folder, None)
    return [f"k{number}" for number in range(50) if mine.take(f"k{number}")]


def test_of_processes_that_reach_for_the_same_cells_each_cell_goes_to_one(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        taken = [key for each in pool.map(_take_all, [tmp_path] * 4) for key in each]
    assert sorted(taken) == sorted(f"k{number}" for number in range(50))


def test_a_pipe_in_the_place_of_a_sign_of_life_is_not_waited_for(tmp_path: Path, clock: Clock) -> None:
    taken = claims(tmp_path, "mine", clock).take("k")
    assert taken
    os.mkfifo(layout.sign_of_life(layout.claim(tmp_path, "k", 1)))
    with pytest.raises(OSError, match="No such device"):
        taken.give_sign()
