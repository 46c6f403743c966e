"""Run folders: whole or not there, never rewritten."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from socket import gethostname

import pytest

from ablate.display import Screen
from ablate.error import BusyError, UserError
from ablate.file import write_atomically
from ablate.record import reading
from ablate.record.layout import Layout
from ablate.record.store import RunFolder, check_writable, provenance, seconds_per_cost

KEY = "0123456789abcdef"


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "below" / "file"
    with write_atomically(path) as file:
        file.write(b"old")
    with pytest.raises(RuntimeError), write_atomically(path) as file:
        file.write(b"half of the n")
        raise RuntimeError
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_result_is_found_by_its_key_and_a_broken_one_is_named(tmp_path: Path) -> None:
    folder = RunFolder(Layout(tmp_path), KEY)
    assert folder.result() is None and folder.status() == "missing"
    with folder.lease() as writer:
        writer.open("seed: 0\n").close()
        assert folder.status() == "running"
        writer.finish({"key": KEY, "status": "finished", "metrics": {"val/accuracy": 0.5}})
    result = folder.result()
    assert result and result["status"] == "finished" == folder.status() and result["format"] == 1
    for broken in ("{", "[]", json.dumps({"key": "another"})):
        (folder.path / "result.json").write_text(broken)
        with pytest.raises(UserError, match=r"result.json: .*delete the file"):
            folder.result()


def test_finishing_removes_the_checkpoint_last(tmp_path: Path) -> None:
    folder = RunFolder(Layout(tmp_path), KEY)
    with folder.lease() as writer:
        (folder.path / "checkpoint.pt").touch()
        with pytest.raises(ValueError, match="Out of range float"):
            writer.finish({"key": KEY, "metrics": float("nan")})
        assert (folder.path / "checkpoint.pt").exists() and folder.result() is None
        writer.finish({"key": KEY, "status": "finished", "metrics": {"val/accuracy": 0.5}})
        assert not (folder.path / "checkpoint.pt").exists()


def test_an_earlier_record_that_was_deleted_makes_room_for_none(tmp_path: Path) -> None:
    folder = RunFolder(Layout(tmp_path), "0123456789abcdef")
    with folder.lease() as writer:
        for number in (1, 2):
            (folder.path / "result.json").write_text("{}")
            assert writer.set_aside() == folder.path / f"earlier-{number}"
        shutil.rmtree(folder.path / "earlier-1")
        (folder.path / "result.json").write_text("{}")
        assert writer.set_aside() == folder.path / "earlier-3"


def test_an_earlier_record_is_set_aside_whole(tmp_path: Path) -> None:
    folder = RunFolder(Layout(tmp_path), KEY)
    with folder.lease() as writer:
        for number in (1, 2):
            writer.open(f"seed: {number}\n").close()
            writer.finish({"key": KEY, "status": "finished", "metrics": {"val/accuracy": 0.5}, "number": number})
            assert writer.set_aside() == folder.path / f"earlier-{number}"
            assert folder.result() is None
    for number in (1, 2):
        assert json.loads((folder.path / f"earlier-{number}" / "result.json").read_text())["number"] == number


def test_an_error_of_before_is_gone_when_the_run_starts_again(tmp_path: Path) -> None:
    folder = RunFolder(Layout(tmp_path), KEY)
    with folder.lease() as writer:
        writer.write_error("Traceback")
        assert (folder.path / "error.txt").read_text() == "Traceback"
        assert folder.status() == "running"
    assert folder.status() == "failed"
    with folder.lease() as writer:
        writer.open("").close()
        assert not (folder.path / "error.txt").exists()


def test_who_has_lost_the_lease_writes_nothing_more(tmp_path: Path) -> None:
    """As an owner that slept over its lease, while another process took the run over and finished it."""
    folder = RunFolder(Layout(tmp_path), KEY)
    with folder.lease() as sleeper:
        sleeper.write_rows([{"epoch": 1}])
        (folder.path / "lease.json").unlink()  # as when it has run out
        with folder.lease() as successor:
            successor.write_rows([{"epoch": 1}, {"epoch": 2}])
            acts: list[Callable[[], object]] = [
                lambda: sleeper.write_rows([{"epoch": 1}]),
                lambda: sleeper.write("best.pt", b"old"),
                lambda: sleeper.finish({"key": KEY}),
                lambda: sleeper.open(""),
                sleeper.set_aside,
            ]
            for act in acts:
                with pytest.raises(BusyError):
                    act()
            sleeper.write_error("not mine to tell")
            successor.finish({"key": KEY, "status": "finished", "metrics": {"val/accuracy": 0.5}})
    assert {file.name for file in folder.path.iterdir()} == {"metrics.jsonl", "result.json"}
    assert len((folder.path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for bad in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nowhere"):
        with pytest.raises(UserError, match="output_dir="):
            check_writable(Layout(Path(bad)))


def test_provenance_names_versions() -> None:
    assert provenance()["versions"]["torch"].startswith("2.11")


def test_a_result_vouches_for_the_files_beside_it(tmp_path: Path) -> None:
    folder = RunFolder(Layout(tmp_path), KEY)
    with folder.lease() as writer:
        writer.write_rows([{"epoch": 1}])
        writer.write("utterances.csv", b"name,correct,frames\na,1,2\n")
        writer.finish({"key": KEY, "status": "finished", "metrics": {"val/accuracy": 0.5}})
    assert reading.rows(folder.path) == [{"epoch": 1}] and len(reading.utterances(folder.path)) == 1
    (folder.path / "utterances.csv").write_text("name,correct,frames\na,2,2\n")
    with pytest.raises(UserError, match=r"utterances.csv: not the file that the run wrote"):
        reading.utterances(folder.path)


def test_who_comes_back_to_a_finished_run_writes_nothing(tmp_path: Path) -> None:
    folder = RunFolder(Layout(tmp_path), KEY)
    with folder.lease() as writer:
        writer.write("best.pt", b"of the other process")
        (folder.path / "result.json").write_text("{}")
        with pytest.raises(BusyError, match="another process has finished this run"):
            writer.write("best.pt", b"mine")
        with pytest.raises(BusyError, match="another process has finished this run"):
            writer.finish({"key": KEY})
    assert (folder.path / "best.pt").read_bytes() == b"of the other process"
    assert (folder.path / "result.json").read_text() == "{}"


def test_a_record_of_mine_is_whole_or_says_what_it_lacks(tmp_path: Path) -> None:
    folder = RunFolder(Layout(tmp_path), KEY)
    with folder.lease() as writer:
        writer.finish({"key": KEY, "status": "finished", "metrics": {"val/accuracy": 0.5}, "seed": 0, "epochs": 1})
    assert folder.result()
    with pytest.raises(UserError, match=r"result.json: num_params: missing; delete the file to train again"):
        folder.whole_result()


def test_attempts_are_counted_by_the_log(tmp_path: Path) -> None:
    folder = RunFolder(Layout(tmp_path), KEY)
    assert folder.attempts() == 0
    for attempt in (1, 2):
        with folder.lease() as writer, writer.open("seed: 0\n") as log:
            screen = Screen(quiet=True)
            with screen.logging_to(log):
                screen.say(f"run {KEY}: all defaults, seed 0")
                screen.say(f"resumed run {KEY}: no beginning")
            assert folder.attempts() == attempt


@pytest.mark.parametrize("name", ["run.log", "metrics.jsonl", "best.pt", "checkpoint.pt", "config.yaml"])
def test_what_stands_in_a_files_place_is_named_before_anything_is_trained(name: str, tmp_path: Path) -> None:
    folder = RunFolder(Layout(tmp_path), KEY)
    for put in (Path.mkdir, os.mkfifo):
        with folder.lease() as writer:
            put(folder.path / name)
            with pytest.raises(UserError, match=f"{name}: expected a file, found something else; move it away"):
                writer.open("seed: 0\n")
            (folder.path / name).rmdir() if (folder.path / name).is_dir() else (folder.path / name).unlink()


@pytest.mark.parametrize("odd", [{"cost": 0}, {"cost": -1.0}, {"seconds": 1e999}, {"machine": 3}, {"cost": "x"}])
def test_an_odd_record_of_another_run_costs_no_estimate(odd: dict[str, object], tmp_path: Path) -> None:
    places = Layout(tmp_path)
    for key, change in (("a" * 16, {}), ("b" * 16, odd)):
        places.run(key).mkdir(parents=True)
        record = {"key": key, "status": "finished", "metrics": {"val/accuracy": 0.5}, "seconds": 6.0, "cost": 2.0}
        record |= {"machine": {"name": gethostname()}, "data_fingerprint": "data"}
        (places.run(key) / "result.json").write_text(json.dumps(record | change))
    (places.runs / "c").write_text("no folder")
    (places.runs / "d" / "result.json").mkdir(parents=True)
    assert seconds_per_cost(places, ["data"], 10) == 3.0
