"""Utterances that the user leaves out: a list in a file, `split/name` in each line, as `ablate audit` writes it."""

from __future__ import annotations

import dataclasses
import difflib
import errno
import os
import typing

from ablate.file import at_home, read_plain
from ablate.recipe.data.cache import Recordings
from ablate.recipe.data.content import name_of
from ablate.recipe.data.corpus import Split

_MOST_BYTES = 1 << 26
_SPLITS: tuple[Split, ...] = typing.get_args(Split)
_EXPECTED = f"a line an utterance: {', '.join(f'{split}/NAME' for split in _SPLITS)}"


def leaving_out(recordings: Recordings, leave_out: str | None, split: Split) -> Recordings:
    """The split without the utterances in the list at `leave_out`.

    They keep their places where a part is drawn, so that leaving one out moves no other. Raises `ValueError` as
    `names` does, for names that the split does not have, and if nothing is left of it.
    """
    named = names(leave_out, split)
    known = {entry.name for entry in recordings.entries}
    if unknown := sorted(named - known):
        nearest = difflib.get_close_matches(unknown[0], sorted(known), n=1, cutoff=0)[0]
        said = f"no such utterance (the nearest: {split}/{nearest})"
        more = f", and {len(unknown) - 1} more that there are not" if len(unknown) > 1 else ""
        raise ValueError(f"data.leave_out={leave_out}: {split}/{unknown[0]}: {said}{more}")
    if named == known:
        raise ValueError(f"data.leave_out={leave_out}: it leaves nothing of data.{split}")
    return dataclasses.replace(
        recordings, identity=identity(recordings.identity, leave_out, split), left_out=frozenset(named)
    )


def identity(whole: str, leave_out: str | None, split: Split) -> str:
    """What stands for the content of a split, where `whole` stands for all of it: the same if nothing is left out."""
    named = names(leave_out, split)
    return name_of([whole, sorted(named)]) if named else whole


def names(leave_out: str | None, split: Split) -> set[str]:
    """Those of the split's utterances in the list; empty lines count for nothing, and those that begin with #.

    Raises `ValueError` for a list that can't be read, and a line that names no split.
    """
    if leave_out is None:
        return set()
    try:
        content = read_plain(at_home(leave_out), _MOST_BYTES)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        lines = content.decode("utf-8").split("\n")
    except OSError as error:
        raise ValueError(f"data.leave_out={leave_out}: {error.strerror}; expected {_EXPECTED}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"data.leave_out={leave_out}: no text in UTF-8; expected {_EXPECTED}") from error
    except ValueError as error:
        raise ValueError(f"data.leave_out={leave_out}: {error}; expected {_EXPECTED}") from error
    found = set()
    for number, line in enumerate(lines, 1):
        of, _, name = line.removesuffix("\r").partition("/")
        if not line.strip() or line.startswith("#"):
            continue
        if of not in _SPLITS or not name:
            raise ValueError(f"data.leave_out={leave_out}, line {number}: found {line!r}; expected {_EXPECTED}")
        if of == split:
            found.add(name)
    return found
