"""What is wrong with a split's utterances: noted by file, told in one go, or left out on demand."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ablate.file import write_atomically
from ablate.recipe.data.cache import Recordings

OnBadUtterance = Literal["error", "drop"]

_SHOWN = 20


@contextmanager
def noted(file: str, faults: list[str], readable: Container[str]) -> Iterator[None]:
    """A context in which what is wrong with `file` is added to `faults` in a line, and ends the context.

    Raises `ValueError` if one of the `readable` files can't be read, which is no fault of the data.
    """
    try:
        yield
    except OSError as error:
        if file in readable:
            raise ValueError(f"{file}: {error.strerror}, though it could be read a moment ago; try again") from error
        faults.append(f"{file}: {_absence(error) if isinstance(error, FileNotFoundError) else error.strerror}")
    except (ValueError, ArithmeticError, MemoryError, RuntimeError) as error:  # whatever a file makes of its reader
        faults.append(f"{file}: {' '.join(str(error).split()) or type(error).__name__}")


def _absence(error: FileNotFoundError) -> str:
    return "a link that leads nowhere" if error.filename and Path(error.filename).is_symlink() else "missing"


def settle(recordings: Recordings, folder: Path, on_bad_utterance: OnBadUtterance) -> None:
    """Raise `ValueError` that tells all faults of the split in `folder`, unless sound utterances are enough and left.

    Of many faults the first are told, and a file beside the recordings' has them all.
    """
    lines = [f"  {line}" for lines in recordings.faults.values() for line in lines]
    if not lines or (on_bad_utterance == "drop" and recordings.names):
        return
    number = len(recordings.faults)
    title = f"{folder}: {'a bad utterance' if number == 1 else f'{number} bad utterances'}"
    if not recordings.names:
        title += " and no sound one:"
    else:
        title += "; mend what is wrong, or leave out with data.on_bad_utterance=drop:"
    more = []
    if len(lines) > _SHOWN:
        report = recordings.path.with_suffix(".faults.txt")
        with write_atomically(report) as file:
            file.write("\n".join([title, *lines, ""]).encode("utf-8", "surrogateescape"))
        more = [f"  and {len(lines) - _SHOWN} more; {report} has them all"]
    raise ValueError("\n".join([title, *lines[:_SHOWN], *more]))
