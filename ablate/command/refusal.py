"""What is said of a command that ends badly, and its exit code; one line where one is enough."""

from __future__ import annotations

import errno

from ablate.error import BusyError, IncompleteError, UserError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_WRITABLE = (
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
    errno.ENAMETOOLONG, errno.EFBIG,
)  # fmt: skip


def refusal(error: Exception) -> tuple[int, str] | None:
    """Exit code and text for an error that has its cause outside the code; none for a fault of ours."""
    if isinstance(error, UserError):
        return 2, str(error)
    if isinstance(error, BusyError | IncompleteError):
        return 1, str(error)
    if _is_of_config(error):
        from ablate.command.diagnosis import of_config  # imports Hydra, which not every command has

        return 2, of_config(error)
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return 1, f"{error.strerror}{_of(error)}; free some space and give the same command again"
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        return 2, f"{error.strerror}{_of(error)}; output_dir=... chooses another place for results"
    return None


def in_words(error: Exception) -> str:
    """What is said of an error wherever its cause lies."""
    known = refusal(error)
    return known[1] if known else f"{type(error).__name__}: {error}"


def _is_of_config(error: Exception) -> bool:
    homes = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(homes & {"hydra", "omegaconf", "yaml"}) or isinstance(error, UnicodeDecodeError | RecursionError)


def _of(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""
