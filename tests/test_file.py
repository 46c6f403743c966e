"""A file is whole or not there, and what went wrong with it names it."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.file import at_home, write_atomically


@pytest.fixture
def no_large_files() -> Iterator[None]:
    """The system lets no file of this process grow beyond 1000 bytes, as a full disk would."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def test_a_file_without_room_is_named_and_leaves_nothing(tmp_path: Path, no_large_files: None) -> None:
    with pytest.raises(OSError) as caught, write_atomically(tmp_path / "a") as file:
        file.write(bytes(10_000))
    assert caught.value.filename == str(tmp_path / "a") and not list(tmp_path.iterdir())


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with write_atomically(tmp_path / "a") as file:
        file.write(b"after")
        assert (tmp_path / "a").read_bytes() == b"before"
    assert (tmp_path / "a").read_bytes() == b"after"


def test_a_home_of_nobody_is_a_name_like_any_other() -> None:
    assert at_home("~/x") == Path.home() / "x" and at_home("~no such user/x") == Path("~no such user/x")
