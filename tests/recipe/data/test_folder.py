"""Files are listed as their folders describe them, and a folder that is near is found."""

import os
from pathlib import Path

import pytest

from ablate.recipe.data.folder import elsewhere, files, some_files


def test_files_are_listed_by_suffix(folder: Path) -> None:
    assert [file.name for file in files(folder, (".txt",), recursive=False)] == ["c.txt"]
    assert [file.name for file in files(folder, (".npy", ".txt"), recursive=True)] == [
        "a.npy", "b.NPY", "below/d.npy", "c.txt",
    ]  # fmt: skip


@pytest.mark.parametrize("number", [1, 3, 25])
def test_some_files_are_spread_over_all(number: int, tmp_path: Path) -> None:
    for name in [*(f"{each:02}.npy" for each in range(40)), ".hidden.npy", "a.txt", "A.NPY"]:
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "link.npy").symlink_to("nowhere")
    listed = [each for each in files(tmp_path, (".npy",), recursive=False) if each.name[:2].isdigit()]
    assert len(listed) == 40
    found = some_files(tmp_path, ".npy", number)
    assert found == listed[:: 40 // number] and number <= len(found) <= 2 * number
    with pytest.raises(ValueError, match=r"00.npy: Not a directory; your data"):
        some_files(tmp_path / "00.npy", ".npy", number)


def test_a_file_is_described_by_its_inode_and_its_times(folder: Path) -> None:
    (file,) = files(folder, (".txt",), recursive=False)
    status = (folder / "c.txt").stat()
    assert file.size == status.st_size and file.stamp == (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def test_files_below_are_not_passed_over(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"below: expected \.npy in .*, not below; move them"):
        files(folder, (".npy",), recursive=False)


@pytest.mark.parametrize("recursive", [True, False])
def test_what_can_not_be_a_file_is_listed_as_one_for_its_reader_to_tell(recursive: bool, tmp_path: Path) -> None:
    (tmp_path / "nowhere.npy").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle.npy").symlink_to(tmp_path / "circle.npy")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    os.mkfifo(tmp_path / "pipe.npy")
    found = [file.name for file in files(tmp_path, (".npy",), recursive=recursive)]
    assert found == ["circle.npy", "nowhere.npy", "pipe.npy"]
    assert not some_files(tmp_path, ".npy", 3)


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
        files(folder, (".npy",), recursive=True)


@pytest.mark.parametrize(
    ("root", "hint"),
    [
        ("data/below", "it is one level too low, did you mean data.root={near}?"),
        ("data/below/further", "it is two levels too low, did you mean data.root={near}?"),
        (".", "it is one level too high, did you mean data.root={near}?"),
        ("..", "it is two levels too high, did you mean data.root={near}?"),
    ],
)
def test_a_folder_near_is_found(root: str, hint: str, folder: Path) -> None:
    assert elsewhere("data.root", folder.parent / root, "below") == hint.format(near=folder)
    assert elsewhere("data.root", folder, "nowhere") == ""
