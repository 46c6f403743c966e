"""One front door: `ablate NAME` is `python -m ablate.NAME`, and `ablate` is `ablate run`."""

import os
import re
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

from ablate.__main__ import COMMANDS
from tests.conftest import Command


@pytest.fixture
def front_door(tmp_path: Path, environment: dict[str, str]) -> Command:
    def run(*arguments: str, **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("ablate"), *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return run


def test_alone_it_says_what_there_is_and_trains_nothing(front_door: Command, tmp_path: Path) -> None:
    done = front_door()
    assert done.returncode == 0 and len(done.stdout.splitlines()) <= 10
    assert all(re.search(rf"^ablate ([a-z|]+\|)?{name}[ |]", done.stdout, re.MULTILINE) for name in COMMANDS)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help", "optimizer"], ["status"]])
def test_a_reader_that_has_enough_is_no_fault(
    arguments: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    """As `| head` has, whether Python keeps the output for the end or not."""
    command = [str(Path(sys.executable).with_name("ablate")), *arguments]
    for buffered in ({}, {"PYTHONUNBUFFERED": "1"}):
        reader, writer = os.pipe()
        os.close(reader)
        own = {name: value for name, value in environment.items() if name != "PYTHONUNBUFFERED"} | buffered
        done = subprocess.run(command, cwd=tmp_path, env=own, stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_its_version_is_ours(front_door: Command) -> None:
    assert front_door("--version").stdout == f"ablate {metadata.version('ablate')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_by_name_is_its_module(name: str, front_door: Command, tmp_path: Path) -> None:
    module = COMMANDS[name].removesuffix(".__main__")
    assert module == f"ablate.{name}" and callable(import_module(COMMANDS[name]).main)
    by_door = front_door(name, "--help")
    by_module = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert by_door.returncode == 0 and by_door.stdout == by_module.stdout


def test_help_on_a_command_is_the_commands(front_door: Command) -> None:
    assert front_door("help", "status").stdout == front_door("status", "--help").stdout


def test_without_a_name_it_runs(front_door: Command) -> None:
    typed, named = front_door("optim=foo"), front_door("run", "optim=foo")
    assert typed.returncode == named.returncode == 2
    assert typed.stderr == named.stderr and typed.stderr.startswith("ablate: optimizer=foo: no such option")
