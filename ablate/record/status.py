"""The states of a run: what its folder tells of it, and how an attempt to train it can end."""

from typing import Literal

Status = Literal["missing", "running", "finished", "diverged", "failed"]
"""Of a run, as far as its folder tells."""

ENDED: tuple[Status, ...] = ("finished", "diverged")
"""Those that a result has, and that are never trained again."""

End = Literal["finished", "diverged", "interrupted", "taken over", "crashed"]
"""Of an attempt to train a run."""
