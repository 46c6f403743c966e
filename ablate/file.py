"""Files that are either whole or not there."""

import contextlib
import os
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


def _umask() -> int:
    # Asking means setting; a temporary file is private by default, a record is for the team.
    mask = os.umask(0)
    os.umask(mask)
    return mask
