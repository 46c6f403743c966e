"""What of a study is mine next, where members take its runs as they go."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from socket import gethostname

from ablate.record.claim import Claims, Entry
from ablate.record.layout import Layout
from ablate.record.store import RunFolder
from ablate.study import shares
from ablate.study.shares import Whose


def bring_in(claims: Claims, places: Layout, keys: Iterable[str]) -> None:
    """Let the members know what has ended here before, and finish telling what a killed process did not."""
    for key in keys:
        folder = RunFolder(places, key)
        if (result := folder.result()) and (claim := claims.take(key)):
            claim.end(result)
        claims.publish(key, folder.path if result else None)


def turns(
    claims: Claims, seeds: Mapping[str, int], member: int | None, is_open: Callable[[str], bool]
) -> Iterator[list[str]]:
    """Again and again the runs that I may take, in the order to try them, of those that are open to me.

    `seeds` are those of all runs of the study, by key. None are given while it is to be seen whether those who have
    the others live. Ends when each run has ended, or is not open to me, or is with a member who lives.
    """
    start = (member or 1 + zlib.crc32(gethostname().encode())) - 1
    while True:
        last = {key: claims.last(key) for key in seeds}
        if [key for key, entry in last.items() if is_held(entry) and claims.free_if_abandoned(key)]:
            continue
        free = shares.claimable(seeds, {key: _whose(claims, entry) for key, entry in last.items()}, start)
        mine = [key for key in free if is_open(key)]
        if not mine and all(claims.is_alive(key) for key, entry in last.items() if is_held(entry) and is_open(key)):
            return
        yield mine


def held(claims: Claims, keys: Iterable[str]) -> list[str]:
    """A line for each who has runs now: how many."""
    count = Counter(str(entry) for key in keys if (entry := claims.last(key)) and is_held(entry))
    return [f"with {who}: {number} {'run' if number == 1 else 'runs'}" for who, number in count.items()]


def is_held(entry: Entry | None) -> bool:
    """Whether somebody has the run."""
    return entry is not None and entry.kind == "claimed"


def _whose(claims: Claims, last: Entry | None) -> Whose:
    if last is None or last.kind == "freed":
        return "nobody's"
    return "mine" if claims.is_mine(last) else "theirs"
