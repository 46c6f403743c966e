"""Files are read once for their digests, and again only where size or times have changed."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ablate.recipe.data.content import contents, elsewhere, files, readable


class Track:
    """Keeps the names of what is tracked."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
        self.names += [file.name for file in items]
        return items


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.npy", "b.NPY", "c.txt", "below/d.npy"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


def test_files_are_listed_by_suffix(folder: Path) -> None:
    assert [file.name for file in files(folder, (".npy",), recursive=False)] == ["a.npy", "b.NPY"]
    assert [file.name for file in files(folder, (".npy", ".txt"), recursive=True)] == [
        "a.npy", "b.NPY", "below/d.npy", "c.txt",
    ]  # fmt: skip


def test_only_what_changed_is_read(folder: Path, tmp_path: Path) -> None:
    def ask() -> tuple[dict[str, str], list[str]]:
        track = Track()
        found = contents(folder, files(folder, (".npy",), recursive=True), tmp_path / "memory.json", track)
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


def test_a_broken_memory_is_made_anew(folder: Path, tmp_path: Path) -> None:
    memory, listed = tmp_path / "memory.json", files(folder, (".npy",), recursive=True)
    first = contents(folder, listed, memory, Track())
    for broken in (b"", b"[1, 2]", b'{"a.npy": 3}', b'{"a.npy": [5, 0, 0, 7]}', memory.read_bytes()[:50]):
        memory.write_bytes(broken)
        assert contents(folder, listed, memory, Track()) == first


def test_what_can_not_be_read_is_asked_again(folder: Path, tmp_path: Path) -> None:
    memory, listed = tmp_path / "memory.json", files(folder, (".npy",), recursive=True)
    (folder / "a.npy").unlink()
    found = contents(folder, listed, memory, Track())
    assert found[0].digest == "unreadable: No such file or directory" and "a.npy" not in readable(found)
    (folder / "a.npy").write_text("a.npy")
    assert "a.npy" in readable(contents(folder, listed, memory, Track()))


def test_links_to_folders_are_followed_but_not_in_circles(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/e.npy").write_text("e")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "below/circle").symlink_to(folder)
    found = [file.name for file in files(folder, (".npy",), recursive=True)]
    assert found == ["a.npy", "b.NPY", "below/d.npy", "link/e.npy"]


def test_a_folder_or_name_that_can_not_be_read_is_told(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"a.npy: Not a directory; your data"):
        files(folder / "a.npy", (".npy",), recursive=False)
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.npy")).write_text("x")
    with pytest.raises(ValueError, match=r"expected names in UTF-8, found 1 others \(\\xff.npy\)"):
        files(folder, (".npy",), recursive=False)


def test_a_folder_near_is_found(folder: Path) -> None:
    def has_below(place: Path) -> bool:
        return (place / "below").is_dir()

    assert elsewhere(folder / "below", has_below) == ("one level too low", folder)
    assert elsewhere(folder / "below/further", has_below) == ("two levels too low", folder)
    assert elsewhere(folder.parent, has_below) == ("one level too high", folder)
    assert elsewhere(folder, lambda place: False) is None
