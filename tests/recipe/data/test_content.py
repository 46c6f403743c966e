"""Files are read once for their digests, and again only where size or times have changed."""

import hashlib
import os
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ablate.recipe.data.content import contents, readable
from ablate.recipe.data.folder import File, files


class Track:
    """Keeps the names of what is tracked."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
        self.names += [file.name for file in items]
        return items


def test_only_what_changed_is_read(folder: Path, tmp_path: Path) -> None:
    def ask() -> tuple[dict[str, str], list[str]]:
        track = Track()
        found = contents(folder, files(folder, (".npy",), recursive=True), tmp_path / "memory.digests", track)
        return {file.name: digest for file, digest in found}, track.names

    found, read = ask()
    assert found == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in ("a.npy", "b.NPY", "below/d.npy")
    } and read == list(found)  # fmt: skip
    assert ask() == (found, [])
    (folder / "b.NPY").write_text("B.NPY")
    os.utime(folder / "a.npy", ns=(0, 1))
    changed, read = ask()
    assert read == ["a.npy", "b.NPY"] and changed["a.npy"] == found["a.npy"] and changed["b.NPY"] != found["b.NPY"]
    assert ask() == (changed, [])
    before = (folder / "a.npy").stat()
    (folder / "a.npy").write_text("A.npy")  # of the same size, and as a copying tool would set its time
    os.utime(folder / "a.npy", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ask()[1] == ["a.npy"]


def test_another_file_in_its_place_is_read_whatever_its_times(folder: Path, tmp_path: Path) -> None:
    """A folder that is put in the place of another, whose files were written in the same tick of a clock."""
    memory, listed = tmp_path / "memory.digests", files(folder, (".npy",), recursive=True)
    contents(folder, listed, memory, Track())
    track, (inode, *times) = Track(), listed[0].stamp
    contents(folder, [listed[0]._replace(stamp=(inode + 1, times[0], times[1])), *listed[1:]], memory, track)
    assert track.names == ["a.npy"]


@pytest.mark.parametrize(
    ("times_ns", "waited"),
    [
        ((1_000_000_001, 5_000_000_000), 0.02),
        ((1_000_000_001, 4_990_000_000), 0.01),
        ((5_000_000_000, 4_000_000_000), 2),
        ((3_000_000_000, 4_000_000_000), 1),
        ((3_000_000_000, 3_000_000_000), None),
        ((1_000_000_001, 4_000_000_000), None),
        ((1_000_000_001, 5_000_000_001), None),  # a clock that is ahead
    ],
)
def test_a_file_is_read_when_its_times_tell_it_from_later_ones(
    times_ns: tuple[int, int], waited: float | None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = list[float]()
    monkeypatch.setattr(time, "time_ns", lambda: 5_000_000_000)
    monkeypatch.setattr(time, "sleep", slept.append)
    contents(folder, [File("a.npy", 5, (1, *times_ns))], tmp_path / "memory.digests", Track())
    assert slept == ([] if waited is None else [waited])


def test_a_broken_memory_is_made_anew(folder: Path, tmp_path: Path) -> None:
    memory, listed = tmp_path / "memory.digests", files(folder, (".npy",), recursive=True)
    first = contents(folder, listed, memory, Track())
    sound = memory.read_bytes()
    digest = first[0].digest.encode()
    another = sound.replace(digest, digest[:-1] + (b"0" if digest[-1:] != b"0" else b"1"))
    foreign = [b"[1, 2]", b'{"a.npy": 3}', b'{"a.npy": [5, 0, 0, 0, 7]}']
    foreign += [each + f"\n{zlib.crc32(each):08x}\n".encode() for each in foreign]
    for broken in (b"", sound[:50], another, *foreign):
        memory.write_bytes(broken)
        assert contents(folder, listed, memory, Track()) == first
        assert memory.read_bytes() == sound


def test_what_can_not_be_read_is_asked_again(folder: Path, tmp_path: Path) -> None:
    memory, listed = tmp_path / "memory.digests", files(folder, (".npy",), recursive=True)
    (folder / "a.npy").unlink()
    found = contents(folder, listed, memory, Track())
    assert found[0].digest == "unreadable: No such file or directory" and "a.npy" not in readable(found)
    (folder / "a.npy").write_text("a.npy")
    assert "a.npy" in readable(contents(folder, listed, memory, Track()))
