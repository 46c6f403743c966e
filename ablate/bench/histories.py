"""Random histories of members who take runs as they go: they join, sleep, die, and their clocks differ."""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ablate.error import BusyError
from ablate.multirun.claiming import turns
from ablate.record import claim
from ablate.record.claim import Claim, Claims
from ablate.record.lease import Owner

_MOST_STEP_SECONDS = 60.0  # between two events
_LONGEST_SLEEP_SECONDS = 4 * claim.SILENCE_SECONDS
_WRONG = ("lost", "repeated", "taken from the living")
_MOST_EVENTS = 5_000  # of a history, which has come to no end then


def histories(number: int, seed: int) -> int:
    """Play so many histories, each with real files; 0 if no run was lost, repeated, or taken from who lived."""
    tally: Counter[str] = Counter()
    for each in range(number):
        with tempfile.TemporaryDirectory(prefix="ablate-bench-", dir=_fast()) as folder:
            tally += play(Path(folder), random.Random(f"{seed} {each}"))
    print(
        f"{number:,} histories of {tally['runs']:,} runs: {tally['started']:,} were begun, by {tally['members']:,} "
        f"members, of whom {tally['died']:,} died and {tally['slept']:,} slept"
    )
    print(f"{tally['taken over']:,} were taken over, and {tally['came back']:,} members came back to find that")
    print(", ".join(f"{name}: {tally[name]}" for name in _WRONG))
    return 1 if any(tally[name] for name in _WRONG) else 0


def play(folder: Path, draw: random.Random) -> Counter[str]:
    """One history, to its end; counts of what has happened."""
    world = _World(folder, draw, {f"{arm}{seed}": seed for seed in range(draw.randint(1, 3)) for arm in "abcd"})
    for _ in range(draw.randint(1, 4)):
        world.join()
    for _ in range(draw.randint(5, 80)):
        world.step()
        if draw.random() < 0.05:
            world.join()
    for each in world.members[:]:  # all leave, without a word, but one who comes last
        if draw.random() < 0.5:
            world.die(each)
    world.join()
    events = 0
    while world.members and (events := events + 1) < _MOST_EVENTS:
        world.step(undisturbed=True)
    world.tally["lost"] += len(world.seeds) - len(world.ended)
    return world.tally


def _fast() -> Path | None:
    """Where hundreds of thousands of small files are made and removed at no cost, if this machine has it."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else None


@dataclass
class _Member:
    claims: Claims
    turns: Iterator[list[str]]
    claim: Claim | None = None
    key: str = ""
    asleep_until: float = 0.0
    has_slept: bool = False  # for so long, while it has this claim, that it may lose it
    signed: float = 0.0


@dataclass
class _World:
    folder: Path
    draw: random.Random
    seeds: dict[str, int]
    time: float = 0.0
    members: list[_Member] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    tally: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.tally["runs"] += len(self.seeds)

    def join(self) -> None:
        """A member begins, on a machine of its own or on one that was there before."""
        self.tally["members"] += 1
        number = self.tally["members"]
        owner = Owner(f"host{self.draw.randint(1, number)}", "", number, 0.0, str(number))
        claims = Claims(self.folder, number, owner, self._clock())
        self.members.append(_Member(claims, turns(claims, self.seeds, number, lambda key: True)))

    def _clock(self) -> Callable[[], float]:
        offset, rate = self.draw.uniform(-3600, 3600), self.draw.uniform(0.999, 1.001)
        return lambda: self.time * rate + offset

    def die(self, member: _Member) -> None:
        """It gives no sign any more, and nothing is cleared up."""
        self.tally["died"] += 1
        self.members.remove(member)

    def step(self, *, undisturbed: bool = False) -> None:
        """Time passes, those who are awake give their signs, and something happens to one of them."""
        self.time += self.draw.uniform(0, min(_MOST_STEP_SECONDS, claim.BEAT_SECONDS))
        awake = [each for each in self.members if each.asleep_until <= self.time]
        for each in awake:
            if each.claim and self.time - each.signed >= claim.BEAT_SECONDS:
                each.claim.give_sign()
                each.signed = self.time
        if awake:
            self._happen(self.draw.choice(awake), 1.0 if undisturbed else self.draw.random())

    def _happen(self, member: _Member, luck: float) -> None:
        if luck < 0.04:
            self.die(member)
        elif luck < 0.10:
            self.tally["slept"] += 1
            member.has_slept = True
            member.asleep_until = self.time + self.draw.uniform(0, _LONGEST_SLEEP_SECONDS)
        elif member.claim is None:
            self._take(member)
        elif luck < 0.15:
            member.claim.free()
            member.claim = None
        elif luck > 0.7:
            self._end(member, member.claim)

    def _take(self, member: _Member) -> None:
        turn = next(member.turns, None)
        if turn is None:
            self.members.remove(member)
        elif turn and (taken := member.claims.take(turn[0])):
            member.claim, member.key, member.has_slept, member.signed = taken, turn[0], False, self.time
            taken.give_sign()
            self.tally["started"] += 1
            self.tally["repeated"] += turn[0] in self.ended
            self.tally["taken over"] += turn[0] in self.begun
            self.begun.add(turn[0])

    def _end(self, member: _Member, claim: Claim) -> None:
        try:
            claim.end({"key": member.key, "by": member.claims.folder.name})
            self.tally["repeated"] += member.key in self.ended
            self.ended.add(member.key)
        except BusyError:
            self.tally["came back"] += 1
            self.tally["taken from the living"] += not member.has_slept
        member.claim = None
