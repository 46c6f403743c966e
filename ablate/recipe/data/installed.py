"""What of the installed packages' versions matters to results; none of them is imported for it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping

from ablate.error import UserError

_SAME_BITS: Mapping[str, Mapping[str, str]] = {"torchaudio": {"2.10": "2.11.0", "2.11": "2.11.0"}}
"""Of a package, the release that stands for each one that was measured to make the same MFCC, bit by bit."""


def bits_version(package: str) -> str:
    """The release whose numbers the installed one makes; for which device it was built does not count."""
    release = _release(package)
    return _SAME_BITS.get(package, {}).get(_minor(release), release)


def check_pair() -> None:
    """Raise `UserError` where torchaudio is of another release than torch: it would not load, or is untested."""
    torch, torchaudio = _release("torch"), _release("torchaudio")
    if _minor(torch) != _minor(torchaudio):
        remedy = f"'torchaudio=={_minor(torch)}.*'"
        if _minor(torch) not in _SAME_BITS["torchaudio"]:
            remedy = " ".join(f"'{package}=={_minor(torchaudio)}.*'" for package in ("torch", "torchaudio"))
        raise UserError(
            f"torch {torch} with torchaudio {torchaudio}: expected both of one release; `pip install {remedy}` mends it"
        )


def _release(package: str) -> str:
    return importlib.metadata.version(package).partition("+")[0]


def _minor(release: str) -> str:
    """The first two numbers of a release.

    >>> _minor("2.11.0")
    '2.11'
    """
    return ".".join(release.split(".")[:2])
