"""Commands in processes of their own that need not import what is not ours: most of a short command is torch's import.

A server that has imported torch, Hydra and wandb, and nothing of ablate's, forks for each command. The child is as
`python -m MODULE` would be: its arguments, folder, environment, output and exit code, and all of our own imports.
What is told of itself by variables that libraries read as they load is for a process from the start.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NOT_OURS = (
    "torch", "hydra", "scipy.stats", "matplotlib.figure", "pandas", "wandb", "wandb.sdk.launch.inputs.internal",
)  # fmt: skip
"""What commands import, some of it late."""


class ForkServer:
    """Runs commands in the environment that it was started with, and what each adds to it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        line, root = [sys.executable, "-m", "tests.forked"], Path(__file__).parent.parent
        self._process = subprocess.Popen(
            line, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def stop(self) -> None:
        """End the server."""
        self._process.communicate()

    def run(
        self, module: str, arguments: list[str], cwd: Path, environment: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """What `python -m module` does with these arguments; where it hangs, a failed test tells where it stood."""
        with tempfile.TemporaryDirectory() as name:
            out, err = (Path(name) / each for each in ("out", "err"))
            out.touch()
            err.touch()
            ask = {"module": module, "arguments": arguments, "cwd": str(cwd), "environment": dict(environment)}
            files = {"out": str(out), "err": str(err)}
            assert self._process.stdin and self._process.stdout
            print(json.dumps(ask | files | {"seconds": seconds}), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
            told = err.read_text()
            assert "Timeout (" not in told, f"{module} {arguments}: not ended within {seconds} s; {told}"
            return subprocess.CompletedProcess([module, *arguments], int(answer), out.read_text(), told)


def _serve() -> dict[str, Any] | None:
    """Answer what is asked with exit codes; in a child what it has to run."""
    for name in _NOT_OURS:
        importlib.import_module(name)
    folders = _folders_of_wandb()
    for each in folders:
        each._finalizer.detach()  # type: ignore[attr-defined]  # no child removes, at its end, what all share
        atexit.unregister(each.cleanup)
    gc.collect()
    gc.freeze()  # else each child would look at all of it, and get a copy of what it looks at
    for line in sys.stdin:
        if not (child := os.fork()):
            asked: dict[str, Any] = json.loads(line)
            return asked
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)
    for each in folders:
        each.cleanup()
    return None


def _folders_of_wandb() -> list[tempfile.TemporaryDirectory[str]]:
    """Those that it makes as it is imported."""
    from wandb import Artifact
    from wandb.sdk.data_types._private import MEDIA_TMP

    return [MEDIA_TMP, Artifact._TMP_DIR]


def _become(asked: dict[str, Any]) -> None:
    os.setsid()
    for number, path in enumerate((os.devnull, asked["out"], asked["err"])):
        file = os.open(path, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    faulthandler.dump_traceback_later(asked["seconds"], exit=True)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv[1:] = asked["arguments"]
    sys.path[0] = asked["cwd"]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if command := _serve():
        _become(command)
