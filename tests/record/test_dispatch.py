"""What a command and those whom it has launched know of each other."""

from pathlib import Path

from ablate.record.dispatch import Dispatch, Message
from ablate.record.layout import Layout


def test_messages_arrive_once_and_in_order(tmp_path: Path) -> None:
    with Dispatch.of(Layout(tmp_path), "s") as mine:
        theirs = Dispatch(mine.folder)
        for number in range(5):
            theirs.tell(Message("said", "a" * 16, str(number)))
        assert [each.text for each in mine.news()] == ["0", "1", "2", "3", "4"]
        assert not list(mine.news())
        theirs.tell(Message("ended", "a" * 16, "done"))
        assert [each.kind for each in mine.news()] == ["ended"]


def test_what_is_half_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    with Dispatch.of(Layout(tmp_path), "s") as mine:
        Dispatch(mine.folder).tell(Message("said", "", "whole"))
        (file,) = mine.folder.glob("*.json")
        whole = file.read_bytes()
        file.write_bytes(whole[:10])
        assert not list(mine.news())
        file.write_bytes(whole)
        assert [each.text for each in mine.news()] == ["whole"]


def test_runs_are_wanted_until_they_are_called_off_or_the_command_ends(tmp_path: Path) -> None:
    first, second = Dispatch.of(Layout(tmp_path), "s"), Dispatch.of(Layout(tmp_path), "s")
    assert not first.is_wanted()
    with first, second:
        assert Dispatch(first.folder).is_wanted()
        first.call_off()
        first.call_off()
        assert not Dispatch(first.folder).is_wanted() and Dispatch(second.folder).is_wanted()
    assert not second.is_wanted()
    Dispatch(second.folder).tell(Message("said", "", "too late"))
    assert not list(tmp_path.rglob("launched"))
