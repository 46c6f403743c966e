"""A terminal, as a command in a process of its own finds it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def seen(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, bytes]:
    """The exit code of `python -m ablate.run`, and all that a terminal of 120 columns gets of it."""
    reader, writer = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ablate.run", *arguments],
        cwd=folder, env={**environment, "COLUMNS": "120"}, stdout=writer, stderr=writer,
    )  # fmt: skip
    os.close(writer)
    output = b""
    while True:
        try:
            chunk = os.read(reader, 65536)
        except OSError:  # how a terminal ends
            break
        if not chunk:
            break
        output += chunk
    os.close(reader)
    return process.wait(60), output
