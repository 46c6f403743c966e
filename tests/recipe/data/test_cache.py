"""A cached split is what was put into it, or it is made anew."""

import contextlib
import dataclasses
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import Tensor

from ablate.error import UserError
from ablate.recipe.data import cache
from ablate.recipe.data.cache import DamagedError, Fault, Recordings, Sources, Utterance, cached, undamaged
from ablate.recipe.data.content import Content
from ablate.recipe.data.folder import File

LENGTHS = (5, 1, 3)


def made(value: float = 0.0) -> Iterator[Utterance | Fault]:
    for number, length in enumerate(LENGTHS):
        features = np.full((length, 2), value + number, np.float32)
        yield Utterance(f"{number}-é\udcff", str(number), features, np.full(length, number, np.uint8))
        if number == 1:
            yield Fault("1-z", "1", ("broken", "missing"))


def touched(time_ns: int) -> Content:
    return Content(File("a", 1, (1, 0, time_ns)), "digest")


def split(path: Path, make: Callable[[], Iterator[Utterance | Fault]] = made, identity: str = "identity") -> Recordings:
    return cached(path, Sources(identity), 2, make, lambda: Sources(identity))


def values(recordings: Recordings) -> list[float]:
    return [float(features[0, 0]) for features, _ in recordings.utterances()]


def test_it_holds_what_was_put_into_it(tmp_path: Path) -> None:
    recordings = split(tmp_path / "a.frames")
    assert recordings.names == ["0-é\udcff", "1-é\udcff", "2-é\udcff"] and recordings.lengths == list(LENGTHS)
    assert recordings.faults == {"1-z": ["broken", "missing"]} and recordings.speakers == {"0", "1", "2"}
    for number, (features, labels) in enumerate(recordings.utterances()):
        assert features.tolist() == [[number, number]] * LENGTHS[number] and labels.tolist() == [number] * len(labels)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_what_is_made_of_each_comes_in_their_order_with_its_items_of_the_others(threads: int, tmp_path: Path) -> None:
    number = 3 * cache._AT_ONCE + 1

    def many() -> Iterator[Utterance | Fault]:
        for i in range(number):
            yield Utterance(f"{i:03d}", "a", np.full((i % 7 + 1, 2), i, np.float32), np.full(i % 7 + 1, i, np.uint8))
            yield Fault(f"{i:03d}-bad", "a", ("broken",))

    def make(features: Tensor, labels: Tensor, letter: str, more: int) -> tuple[float, int, int, str, int, int]:
        return float(features.mean()), int(labels[-1]), len(features), letter, more, torch.get_num_threads()

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = list(split(tmp_path / "a.frames", many).map(make, ["x"] * number, range(number)))
    finally:
        torch.set_num_threads(before)
    assert found == [(i, i % 256, i % 7 + 1, "x", i, 1) for i in range(number)]


def test_a_damaged_utterance_ends_what_is_made_of_each(tmp_path: Path) -> None:
    recordings = split(tmp_path / "a.frames")
    content = recordings.path.read_bytes()
    recordings.path.write_bytes(content[:47] + b"x" + content[48:])
    with pytest.raises(DamagedError, match=r"a.frames: 1-.* is not what was written there"):
        list(recordings.map(lambda features, labels: None))
    assert not recordings.path.exists()


def test_who_finds_old_damage_leaves_what_another_has_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.frames"
    recordings = split(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:47] + b"x" + whole[48:])
    reading = recordings.utterances()
    next(reading)
    path.unlink()
    split(path)
    with pytest.raises(DamagedError, match="is not what was written there"):
        list(reading)
    assert path.read_bytes() == whole


def test_a_folder_that_is_called_like_a_beginning_is_left(tmp_path: Path) -> None:
    (tmp_path / ".b.frames.x.tmp").mkdir()
    (tmp_path / ".b.frames.y.tmp").write_bytes(b"")
    assert split(tmp_path / "a.frames").names
    assert [each.name for each in tmp_path.glob(".*.tmp")] == [".b.frames.x.tmp"]


def test_what_is_removed_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    recordings = split(tmp_path / "a.frames")
    for reading in (recordings.utterances(), recordings.map(lambda features, labels: len(features))):
        next(reading)
        recordings.path.unlink()
        assert len(list(reading)) == len(LENGTHS) - 1
        split(recordings.path)


@pytest.mark.parametrize("times", [0, 2, 3])
def test_what_is_damaged_is_used_once_it_has_been_made_anew_or_said_to_be_so_each_time(times: int) -> None:
    damages, said = iter(range(times)), list[str]()

    def use() -> str:
        for number in damages:
            raise DamagedError(f"damage {number}")
        return "used"

    if times < 3:
        assert undamaged(use, said.append) == "used"
    else:
        with pytest.raises(
            UserError, match="damage 2, again and again as soon as it is made; is the disk of output_dir"
        ):
            undamaged(use, said.append)
    assert said == [f"damage {number}; the data are read anew" for number in range(times)]


def test_what_is_read_ahead_are_the_sound_utterances_in_few_stretches(tmp_path: Path) -> None:
    whole = split(tmp_path / "a.frames")
    size = 4 * 2 + 1  # bytes a frame
    assert list(whole._stretches()) == [(0, size * sum(LENGTHS))]
    without = dataclasses.replace(whole, left_out=frozenset(["1-é\udcff"]))
    assert [each for each in without._stretches() if each != (0, 0)] == [(0, 5 * size), (6 * size, 9 * size)]
    for recordings in (whole, without, dataclasses.replace(whole, entries=())):
        recordings.read_ahead()
    whole.path.write_bytes(whole.path.read_bytes()[:20])
    whole.read_ahead()  # what is cut short is told by who uses it


def test_it_is_made_once(tmp_path: Path) -> None:
    first = split(tmp_path / "a.frames")
    assert values(split(first.path, lambda: made(value=9.0))) == values(first)


def test_of_another_identity_or_size_it_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.frames"
    split(path)
    assert values(split(path, lambda: made(value=9.0), "other")) == [9, 10, 11]


def test_of_another_version_it_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.frames"
    split(path)
    monkeypatch.setattr(cache, "_FORMAT", cache._FORMAT + 1)
    assert values(split(path, lambda: made(value=9.0))) == [9, 10, 11]


def test_cut_short_anywhere_or_foreign_it_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.frames"
    split(path)
    whole = path.read_bytes()
    broken = [whole[:size] for size in range(len(whole))]
    foreign = [whole[1:], whole[7:], whole + b"\0", b"\xff" * 100, b"[]" + (2).to_bytes(8, "little")]
    for content in [*broken, *foreign]:
        path.write_bytes(content)
        assert split(path).path.read_bytes() == whole


def test_whichever_bit_changes_the_next_reader_makes_it_anew_or_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.frames"
    recordings = split(path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        broken = bytearray(whole)
        broken[position] ^= 1
        path.write_bytes(broken)
        with contextlib.suppress(DamagedError):
            list(split(path).utterances())
            assert path.read_bytes() == whole
        list(split(path).utterances())
        assert path.read_bytes() == whole
    with pytest.raises(DamagedError, match=r"a.frames: 1-.* is not what was written there"):
        path.write_bytes(whole[:47] + b"x" + whole[48:])
        list(recordings.utterances())
    with pytest.raises(DamagedError, match=r"a.frames: removed while it was in use"):
        list(recordings.utterances())


@pytest.mark.parametrize("now", [Sources("identity", [touched(2)]), Sources("other", [touched(1)])])
def test_what_is_touched_while_it_is_read_is_not_kept(now: Sources, tmp_path: Path) -> None:
    before = Sources("identity", [touched(1)])
    with pytest.raises(ValueError, match="changed while they were read"):
        cached(tmp_path / "a.frames", before, 2, made, lambda: now)
    assert not (tmp_path / "a.frames").exists()


def test_what_fails_or_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.frames"

    def failing() -> Iterator[Utterance | Fault]:
        yield from made()
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError):
        split(path, failing)
    assert [file.name for file in tmp_path.iterdir()] == ["a.frames.lock"]
    for name in ("a", "b", "c"):
        (tmp_path / f".{name}.frames.1234.tmp").write_bytes(b"of a killed process, or of one that works")
    for name, age in ((".d.digests.x.tmp", 4000), (".e.digests.x.tmp", 3)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    with FileLock(tmp_path / "c.frames.lock"):
        split(path)
    left = {file.name for file in tmp_path.iterdir() if not file.name.endswith(".lock")}
    assert left == {"a.frames", ".c.frames.1234.tmp", ".e.digests.x.tmp"}


def test_who_is_waited_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ablate.recipe.data.cache._PATIENCE_SECONDS", 0.05)
    lock = FileLock(tmp_path / "a.frames.lock", thread_local=False).acquire().lock
    waiting = threading.Thread(target=split, args=(tmp_path / "a.frames",))
    waiting.start()
    waiting.join(1)
    assert waiting.is_alive()
    assert capsys.readouterr().err == f"{tmp_path}/a.frames: waiting for another process, which makes it\n"
    lock.release()
    waiting.join(60)
    assert (tmp_path / "a.frames").exists()


def _ask(path: Path) -> None:
    def slowly() -> Iterator[Utterance | Fault]:
        with (path.parent / "makers").open("a") as makers:
            makers.write(f"{os.getpid()}\n")
        yield from made()

    assert values(split(path, slowly)) == [0, 1, 2]


def test_of_several_processes_one_makes_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_ask, args=(tmp_path / "a.frames",)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len((tmp_path / "makers").read_text().split()) == 1
