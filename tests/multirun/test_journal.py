"""A search's journal is written to by one process at a time, and stays whole, whoever is killed or stopped."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ablate.error import UserError
from ablate.multirun import journal
from ablate.multirun.journal import Lock

optuna = pytest.importorskip("optuna")

ADD = """
import sys
from pathlib import Path
from ablate.multirun import journal
study = journal.opened(Path(sys.argv[1]), "s", "val/loss")
for number in range(40):
    study.set_user_attr(f"{sys.argv[2]} {number}", number)
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal, as a user names it, in a folder where another name leads to it too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.log").symlink_to("j.log")
    file = Path("j.log")
    journal.opened(file, "s", "val/loss")
    return file


@pytest.fixture
def sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LEFT_SECONDS", 0.5)


def test_processes_write_one_after_the_other(file: Path) -> None:
    names = ["j.log", "link.log", "j.log"]
    both = [subprocess.Popen([sys.executable, "-c", ADD, name, str(i)]) for i, name in enumerate(names)]
    assert [each.wait(timeout=100) for each in both] == [0, 0, 0]
    told = journal.opened(file, "s", "val/loss").user_attrs
    assert told == {f"{process} {number}": number for process in range(3) for number in range(40)}
    assert not list(Path().glob("*.lock*"))


@pytest.mark.usefixtures("sooner", "file")
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_a_lock_that_was_left_is_removed_after_a_while(kind: str) -> None:
    left = Path("j.log.lock")
    match kind:
        case "file":
            left.write_text("of a process that was killed")
        case "link":
            left.symlink_to("outputs/studies/s/search.log")  # as Optuna's own lock has it
        case "folder":
            left.mkdir()
    study = journal.opened(Path("link.log"), "s", "val/loss")  # one lock, whatever the journal is called
    study.set_user_attr("a", 1)
    assert not left.exists() and not left.is_symlink()


@pytest.mark.usefixtures("sooner")
def test_a_lock_that_another_has_is_waited_for(file: Path) -> None:
    first, second = Lock(file), Lock(file)
    assert first.acquire()
    waiting = threading.Thread(target=second.acquire)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    first.release()
    waiting.join(10)
    assert not waiting.is_alive()
    first.release()  # who was stopped, and wakes, takes nothing from others
    assert Path("j.log.lock").exists()
    second.release()
    assert not Path("j.log.lock").exists()


def test_a_lock_that_was_made_while_one_that_was_left_is_removed_is_put_back(file: Path) -> None:
    living = Lock(file)
    living.acquire()
    Lock(file)._remove((0, 0))
    assert Path("j.log.lock").read_bytes() == living._token
    assert [each.name for each in Path().glob("*.lock*")] == ["j.log.lock"]


def test_half_a_line_goes_and_whole_ones_stay(file: Path) -> None:
    study = journal.opened(file, "s", "val/loss")
    study.set_user_attr("a", 1)
    whole = file.read_bytes()
    with file.open("ab") as stream:
        stream.write(b'{"op_code":7,"')
    study.set_user_attr("b", 2)  # by a process that was at it before, too
    assert file.read_bytes().startswith(whole)
    assert journal.opened(file, "s", "val/loss").user_attrs == {"a": 1, "b": 2}


@pytest.mark.parametrize("content", [b"my thesis, in one line", b"my thesis\nin two", b"[1, 2]\n", b"{\n"])
def test_what_is_no_journal_is_refused_and_stays(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "j.log"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"j\.log: not a journal of Optuna's"):
        journal.opened(file, "s", "val/loss")
    assert file.read_bytes() == content and [each.name for each in tmp_path.iterdir()] == ["j.log"]


def test_a_place_for_no_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a file, found something else"):
        journal.opened(tmp_path, "s", "val/loss")
    with pytest.raises(UserError, match=r"no/j\.log: No such file or directory; a search writes there, and beside it"):
        journal.opened(tmp_path / "no" / "j.log", "s", "val/loss")
