"""The user's mistakes: what is said of them, in a line, and nothing is lost."""

from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST_LINE = 1500
_KEPT = 400  # of a longer one, at each end


def clipped(line: str) -> str:
    """A line without the middle of what is too long to be read."""
    if len(line) <= _LONGEST_LINE:
        return line
    return f"{line[:_KEPT]} ... ({len(line):,} characters) ... {line[-_KEPT:]}"


class UserError(Exception):
    """A command that is refused: exit code 2. The text names the key or file, what was expected, what was found.

    A line that quotes more than anybody reads is clipped.
    """

    def __init__(self, text: str) -> None:
        super().__init__("\n".join(map(clipped, text.split("\n"))))


class IncompleteError(Exception):
    """A study that is not as far as was asked for: exit code 1."""


class BusyError(Exception):
    """A run that another process is training: exit code 1."""


class TakenError(BusyError):
    """A run that another member of the team has taken."""


class CalledOffError(BusyError):
    """A run that its command, which has launched it elsewhere, no longer wants."""


@contextmanager
def refusing() -> Iterator[None]:
    """A context in which a `ValueError` is the user's mistake, hence a `UserError` with its text."""
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error
