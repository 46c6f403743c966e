"""Files that are either whole or not there, and what stands where a file is expected."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def write_atomically(
    path: Path, allowed: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
) -> Iterator[BinaryIO]:
    """A binary file that takes its place at `path` when the block ends, and leaves nothing if it fails.

    It does so in the context `allowed`, which may refuse. The temporary file lies beside `path`, since a rename is
    atomic within one file system only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False) as file:
        temporary = Path(file.name)
        try:
            yield file  # type: ignore[misc]
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            with allowed():
                temporary.replace(path)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:  # as a full disk has it
                error.filename = str(path)
            raise


def at_home(path: str) -> Path:
    """A path that may begin with `~` or `~user`; where there is no such user, it is a name like any other."""
    with contextlib.suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


def read_plain(path: Path, most_bytes: int) -> bytes | None:
    """What a file holds; none where there is none.

    Raises `ValueError` for what is no plain file, such as a pipe that would be waited for, and for a larger one.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        size = _plain_size(os.fstat(descriptor))
        if size > most_bytes:
            raise ValueError(f"expected at most {most_bytes:,} bytes, found {size:,}")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most_bytes)
    finally:
        os.close(descriptor)


def check_plain(path: Path) -> None:
    """Raise `ValueError` if there is something at `path` that is no plain file."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        _plain_size(path.stat())


def _plain_size(status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("expected a file, found something else")
    return status.st_size


def _umask() -> int:
    # Asking means setting; a temporary file is private by default, a record is for the team.
    mask = os.umask(0)
    os.umask(mask)
    return mask
