"""Commands as people mistype them, drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_KEYS = (
    "arch", "arch.depth", "arch.width", "arch.activation", "arch.norm", "optimizer", "optimizer.lr", "optim.lr",
    "scheduler", "scheduler.warmup", "normalization", "augmentation", "regularization", "initialization", "data",
    "data.context", "data.fraction", "data.root", "seed", "epochs", "batch_size", "precision", "device", "threads",
    "max_params", "rerun", "progress", "plot", "wandb.mode", "wandb.tags", "team.member", "team.size", "study.name",
    "study.seeds", "study.design", "study.exclude", "study.factors", "study", "experiment", "hydra.job.chdir",
    "hydra/launcher",
)  # fmt: skip
_VALUES = (
    "", "null", "nan", "inf", "-1", "0", "1e999", "0.5", "true", "[]", "{}", "[1,", "[1,2]", "{a:1}", "1,2", "'", '"',
    "a b", "é", "ﬀ", "\x1b[31m", "9" * 5000, "1e-400", "${seed}", "${nothing}", "${oc.env:NOTHING}",
    "../..", "/", "cylinder", "adamw", "none", "a=b", "=", ":", ",", "range(1,3,0)", "range(0,1,1e-9)", "glob(*)",
    "choice()", "shuffle(1,2)", "sort(3,1)", "int(1.5)", "str(3)", "'1'", "[" * 100, "x" * 100_000, "\\", "$(id)",
    "0x10", "08", "~", "---", "{" * 40 + "}" * 40, "torch.load", "os.system",
)  # fmt: skip
_FLAGS = (
    "--lr",
    "-x",
    "--seed",
    "--config-name",
    "--config-dir",
    "--multirun",
    "-m",
    "--cfg",
    "--resolve",
    "--package",
    "--run",
    "--epochs=3",
    "--config-path=x",
    "--experimental-rerun=x",
    "--help=1",
    "-",
    "--",
    "--config-dir=nowhere",
)
_SIGNS = ("+", "++", "~", "~~", "+++", "-", "/", "@", " ", "!")


def command(whole: Sequence[str], draw: random.Random) -> list[str]:
    """The words of a command that is right, with up to three mistakes."""
    words = list(whole)
    for _ in range(draw.randint(1, 3)):
        words = draw.choice(_MISTAKES)(words, draw)
    return words


def _changed(words: list[str], draw: random.Random, change: Callable[[str], str]) -> list[str]:
    place = draw.randrange(len(words))
    return [*words[:place], change(words[place]), *words[place + 1 :]]


def _letter(words: list[str], draw: random.Random) -> list[str]:
    """A letter is left out, doubled, or exchanged with its neighbour."""

    def change(word: str) -> str:
        if len(word) < 3:
            return word
        place = draw.randrange(len(word) - 1)
        a, b = word[place], word[place + 1]
        return word[:place] + draw.choice(["", a + a + b, b + a]) + word[place + 2 :]

    return _changed(words, draw, change)


def _value(words: list[str], draw: random.Random) -> list[str]:
    """A key has another value."""
    return _changed(words, draw, lambda word: f"{word.partition('=')[0]}={draw.choice(_VALUES)}")


def _addition(words: list[str], draw: random.Random) -> list[str]:
    """A key more, which may be there already."""
    return _put(words, draw, f"{draw.choice(_KEYS)}={draw.choice(_VALUES)}")


def _sign(words: list[str], draw: random.Random) -> list[str]:
    """Something stands before a key."""
    return _changed(words, draw, lambda word: draw.choice(_SIGNS) + word)


def _flag(words: list[str], draw: random.Random) -> list[str]:
    """A flag, known or not."""
    return _put(words, draw, draw.choice(_FLAGS))


def _half(words: list[str], draw: random.Random) -> list[str]:
    """A key without a value, a value without a key, a space within."""

    def change(word: str) -> str:
        key, _, value = word.partition("=")
        return draw.choice([key, value, f"{key} = {value}", f"{key}:{value}", f"{key}=={value}", f"{key}={value},"])

    return _changed(words, draw, change)


def _place(words: list[str], draw: random.Random) -> list[str]:
    """A group in another's place, a key that no group has."""
    key = draw.choice(_KEYS)
    return _put(words, draw, draw.choice([f"{key}@arch=none", f"{key}.nothing=1", f"nothing.{key}=1", f"~{key}", key]))


def _put(words: list[str], draw: random.Random, word: str) -> list[str]:
    place = draw.randint(0, len(words))
    return [*words[:place], word, *words[place:]]


_MISTAKES = (_letter, _value, _addition, _sign, _flag, _half, _place)
