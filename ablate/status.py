"""`ablate status NAME`: how far a study is."""

from __future__ import annotations

import sys
from functools import partial

from ablate.command.frame import end, framed
from ablate.report.__main__ import show
from ablate.report.words import progress


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    command = partial(show, "status", __doc__ or "", lambda _, study: progress(study))
    return framed(command, sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    end(main())
