"""Leases: one owner at a time, and no dead one blocks."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from ablate.error import BusyError, UserError
from ablate.record import lease as lease_module
from ablate.record.layout import LEASE
from ablate.record.lease import LEASE_SECONDS, Lease, Owner, holder


@pytest.fixture
def guard(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "lease.lock"


def planted(folder: Path, owner: Owner, age_seconds: float = 0) -> None:
    (folder / LEASE).write_text(json.dumps(asdict(owner)))
    then = time.time() - age_seconds
    os.utime(folder / LEASE, (then, then))


def test_one_at_a_time(tmp_path: Path, guard: Path) -> None:
    with Lease(tmp_path, guard) as mine:
        mine.check()
        with pytest.raises(BusyError, match=f"process {os.getpid()} on .* is training this run already"):
            Lease(tmp_path, guard).__enter__()
        mine.check()
    assert holder(tmp_path, guard) is None and not (tmp_path / LEASE).exists()
    with Lease(tmp_path, guard):
        pass


def test_a_dead_owner_of_this_machine_does_not_block(tmp_path: Path, guard: Path) -> None:
    code = (
        "import os; from pathlib import Path; from ablate.record.lease import Lease\n"
        f"Lease(Path({str(tmp_path)!r}), Path({str(guard)!r})).__enter__(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (tmp_path / LEASE).exists()
    with Lease(tmp_path, guard):
        pass


def test_another_process_of_the_same_number_is_not_the_owner(tmp_path: Path, guard: Path) -> None:
    planted(tmp_path, replace(Owner.this(), started=1.0))
    assert holder(tmp_path, guard) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a step of the clock has 30 s")
def test_a_clock_that_is_set_makes_no_other_process_of_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, boot_time = Owner.this(), psutil._pslinux.boot_time
    for step in (100, -100_000):
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda step=step: boot_time() + step)
        assert psutil.boot_time() == boot_time() + step and not owner.is_gone()


def test_a_guard_that_is_held_for_long_is_told(tmp_path: Path, guard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_GUARD_SECONDS", 0.1)
    guard.parent.mkdir()
    with FileLock(guard), pytest.raises(UserError, match=r"lease\.lock: another process has held it for 0\.1 s, where"):
        Lease(tmp_path, guard).__enter__()
    with Lease(tmp_path, guard):
        pass


def test_a_job_that_slurm_begins_anew_does_not_block_itself(
    tmp_path: Path, guard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "ours")
    planted(tmp_path, replace(Owner.this(), host="another-node"))
    for restarts, job, is_blocked in (("0", "7", True), ("1", "7", False), ("1", "8", True)):
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
        monkeypatch.setenv("SLURM_JOB_ID", job)
        assert (holder(tmp_path, guard) is not None) == is_blocked


@pytest.mark.parametrize("elsewhere", [{"host": "another-machine"}, {"space": "a container"}])
def test_an_owner_elsewhere_has_its_lease_and_no_longer(elsewhere: dict[str, Any], tmp_path: Path, guard: Path) -> None:
    owner = replace(Owner.this(), pid=2**22 + 1, **elsewhere)
    planted(tmp_path, owner, age_seconds=LEASE_SECONDS - 30)
    assert holder(tmp_path, guard) == owner
    with pytest.raises(BusyError, match=f"its lease ends within {LEASE_SECONDS} s"):
        Lease(tmp_path, guard).__enter__()
    planted(tmp_path, owner, age_seconds=LEASE_SECONDS + 30)
    assert holder(tmp_path, guard) is None
    with Lease(tmp_path, guard):
        pass


def test_a_lease_from_the_future_has_run_out(tmp_path: Path, guard: Path) -> None:
    planted(tmp_path, replace(Owner.this(), host="another-machine"), age_seconds=-30 * 86_400)
    assert holder(tmp_path, guard) is None


def test_it_is_renewed_while_it_is_held(tmp_path: Path, guard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "RENEWAL_SECONDS", 0.01)
    with Lease(tmp_path, guard):
        os.utime(tmp_path / LEASE, (0, 0))
        deadline = time.monotonic() + 30
        while (tmp_path / LEASE).stat().st_mtime < time.time() - LEASE_SECONDS:
            assert time.monotonic() < deadline, "the lease is not renewed"
            time.sleep(0.01)


def test_who_lost_it_is_told_and_does_not_take_it_away(tmp_path: Path, guard: Path) -> None:
    with Lease(tmp_path, guard) as mine:
        other = replace(Owner.this(), host="another-machine", token="other")
        planted(tmp_path, other)
        with pytest.raises(BusyError, match="on another-machine is training"):
            mine.check()
    assert holder(tmp_path, guard) == other


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "null", "pid abc", "pid -5", "pid 0"])
def test_a_broken_lease_blocks_nobody(content: str, tmp_path: Path, guard: Path) -> None:
    if content.startswith("pid "):
        pid = content.removeprefix("pid ")
        content = json.dumps(asdict(Owner.this()) | {"pid": pid if pid == "abc" else int(pid)})
    (tmp_path / LEASE).write_text(content)
    with Lease(tmp_path, guard) as mine:
        mine.check()


def test_of_many_that_want_it_one_gets_it(tmp_path: Path, guard: Path) -> None:
    """Also where all of them see that the owner before is dead."""
    planted(tmp_path, replace(Owner.this(), started=1.0))
    code = (
        "import sys, time; from pathlib import Path; from ablate.record.lease import Lease, BusyError\n"
        "sys.stdin.readline()\n"
        f"try:\n  with Lease(Path({str(tmp_path)!r}), Path({str(guard)!r})):\n"
        "    print('mine', flush=True); sys.stdin.readline()\n"
        "except BusyError: print('busy', flush=True)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in processes if process.stdout]
    for process in processes:
        with process:
            process.communicate("\n")
    assert sorted(answers) == ["busy"] * 5 + ["mine"]


@pytest.mark.parametrize("put", [os.mkfifo, Path.touch, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_lease_holds_nothing_and_is_waited_for_by_nobody(put: Any, tmp_path: Path, guard: Path) -> None:
    put(tmp_path / LEASE)
    assert holder(tmp_path, guard) is None
    with Lease(tmp_path, guard) as mine:
        mine.check()


def test_what_is_no_file_to_lock_is_named(tmp_path: Path) -> None:
    guard = tmp_path / "lease.lock"
    guard.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="expected a file to lock"), Lease(tmp_path / "run", guard):
        pass
