"""What of the installed packages' versions matters to results; none of them is imported for it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping

from ablate.error import UserError

_SAME_BITS: Mapping[str, Mapping[str, str]] = {"torchaudio": {"2.10.0": "2.11.0", "2.11.0": "2.11.0"}}
"""Of a package, the release that stands for each one that was measured to make the same MFCC, bit by bit."""
_TESTED = tuple(_SAME_BITS["torchaudio"])


def bits_version(package: str) -> str:
    """The release whose numbers the installed one makes; for which device it was built does not count."""
    release = _release(package)
    return _SAME_BITS.get(package, {}).get(release, release)


def check_pair() -> None:
    """Raise `UserError` where torchaudio is of another release than torch: it would not load, or is untested.

    The last number counts too: torchaudio 2.11.1 does not load with torch 2.11.0.
    """
    torch, torchaudio = _release("torch"), _release("torchaudio")
    if torch != torchaudio:
        remedy = f"torchaudio=={torch}" if torch in _TESTED else f"torch=={_TESTED[-1]} torchaudio=={_TESTED[-1]}"
        raise UserError(
            f"torch {torch} with torchaudio {torchaudio}: expected both of one release; `pip install {remedy}` mends it"
        )


def _release(package: str) -> str:
    return importlib.metadata.version(package).partition("+")[0]
