"""A tenth of what the benchmark proves whole."""

import subprocess
import sys


def test_killed_runs_end_with_the_undisturbed_runs_bits(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "ablate.bench", "kills", "--kills", "5", "--seed", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "5 kills: the same bits every time"


def test_killed_members_finish_each_cell_once(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "ablate.bench", "team", "--kills", "5", "--seed", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 of 24 runs finished, 0 records rewritten, 0 with other bits" in done.stdout.splitlines()[-1]
