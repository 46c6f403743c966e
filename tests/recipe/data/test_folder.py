"""Files are listed as their folders describe them, and a folder that is near is found."""

import os
from pathlib import Path

import pytest

from ablate.recipe.data.folder import elsewhere, files


def test_files_are_listed_by_suffix(folder: Path) -> None:
    assert [file.name for file in files(folder, (".npy",), recursive=False)] == ["a.npy", "b.NPY"]
    assert [file.name for file in files(folder, (".npy", ".txt"), recursive=True)] == [
        "a.npy", "b.NPY", "below/d.npy", "c.txt",
    ]  # fmt: skip


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
