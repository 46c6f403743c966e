"""wandb's modes, and an offline run read back from its file."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ablate.record import tracking
from ablate.record.status import End
from tests import wandb_file
from tests.trainings import config_of
from tests.wandb_server import API_KEY, WandbServer

KEY = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "of-wandb"))


@pytest.mark.parametrize(
    ("overrides", "environment", "settings", "project"),
    [
        ([], {}, "", "ablate"),
        ([], {}, "project = of-init", "of-init"),
        ([], {"WANDB_PROJECT": "of-team"}, "project = of-init", "of-team"),
        (["wandb.project=mine"], {"WANDB_PROJECT": "of-team"}, "project = of-init", "mine"),
    ],
)
def test_the_project_is_the_nearest_that_is_named(
    overrides: list[str],
    environment: dict[str, str],
    settings: str,
    project: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb/settings").write_text(f"[default]\n{settings}\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    _, run = run_offline(tmp_path / "outputs", *overrides)
    assert run.run.project == project


def run_offline(
    output_dir: Path, *overrides: str, status: End = "finished", attempt: int = 1
) -> tuple[str, wandb_file.OfflineRun]:
    config = config_of(overrides, output_dir)
    before = set(output_dir.glob("wandb/offline-run-*"))
    shown = tracking.Shown(KEY, "arch=pyramid seed=0", ["arch=pyramid", "x" * 99], attempt=attempt)
    tracker = tracking.start(config, shown, "offline", tracking.Server(), print)
    row: dict[str, Any] = {"epoch": 1, "step": 7, "lr": 0.1, "train/loss": 2.0, "val/accuracy": 0.5, "seconds": 1.5}
    tracker.log(row)
    tracker.log(row | {"epoch": 2, "val/accuracy": None})
    how_to_sync = tracker.finish(status, {"metrics": {"val/accuracy": 0.5, "best_epoch": 1}})
    (folder,) = set(output_dir.glob("wandb/offline-run-*")) - before
    return how_to_sync or "", wandb_file.read(folder)


def test_an_offline_run_holds_all_that_the_team_wants_to_see(tmp_path: Path) -> None:
    how_to_sync, run = run_offline(
        tmp_path,
        "wandb.project=hw1p2",
        "wandb.entity=team",
        "wandb.tags=[mine]",
        "wandb.notes=why",
        "study.name=shapes",
    )
    assert how_to_sync.startswith(f"wandb sync {tmp_path}/wandb/offline-run-")
    assert (run.run.entity, run.run.project, run.run.run_group, run.run.job_type) == (
        "team",
        "hw1p2",
        "shapes",
        "train",
    )
    assert (run.run.run_id, run.run.display_name, run.run.notes) == (f"{KEY}-1", "arch=pyramid seed=0", "why")
    assert list(run.run.tags) == ["mine", "arch=pyramid", "x" * 64]
    assert run.config["key"] == KEY
    assert run.config["optimizer"]["lr"] == 0.001 and run.config["arch"]["depth"] == 2
    assert [row["epoch"] for row in run.epochs] == [1, 2]
    assert run.epochs[0] | {"lr": 0.1, "train/loss": 2.0, "val/accuracy": 0.5} == run.epochs[0]
    assert run.summary["best/val/accuracy"] == 0.5 and run.summary["best/epoch"] == 1
    assert run.exit_code == 0


def test_a_single_run_has_no_group_and_another_attempt_another_id(tmp_path: Path) -> None:
    _, first = run_offline(tmp_path, status="diverged")
    _, second = run_offline(tmp_path)
    assert first.run.run_group == "" and first.run.run_id == f"{KEY}-1" and second.run.run_id == f"{KEY}-2"
    assert first.exit_code == 1 and first.summary["status"] == "diverged"
    shutil.rmtree(tmp_path / "wandb")  # what was synced from there has had those ids
    _, third = run_offline(tmp_path, attempt=3)
    assert third.run.run_id == f"{KEY}-3"


# --- against a server on loopback, with the real command ---

ONLINE = ["data=espeak_tiny", "data.context=2", "arch.width=32", "wandb.entity=the-team", "wandb.project=hw"]


@pytest.fixture
def folder(tmp_path: Path, corpus_cache: Path) -> Path:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "cache").symlink_to(corpus_cache)
    return tmp_path


@dataclass
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    seconds_after: float  # what was planted


def command(
    folder: Path,
    environment: dict[str, str],
    *overrides: str,
    at: str | None = None,
    plant: Callable[[int], None] | None = None,
) -> Ended:
    """Run the command; when it prints a line with `at`, call `plant` with its process number."""
    with subprocess.Popen(
        [sys.executable, "-m", "ablate.run", *ONLINE, *overrides],
        cwd=folder, env=environment | {"PYTHONUNBUFFERED": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout and process.stderr
        lines, planted = [], time.monotonic()
        for line in process.stdout:
            lines.append(line)
            if at and at in line and plant:
                plant(process.pid)
                at, planted = None, time.monotonic()
        stderr = process.stderr.read()
        return Ended(process.wait(timeout=120), "".join(lines), stderr, time.monotonic() - planted)


def record(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    (run,) = (folder / "outputs" / "runs").iterdir()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return json.loads((run / "result.json").read_text()), rows


def files_with(secret: str, folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]


def test_online_the_team_sees_one_whole_run(folder: Path, server: WandbServer, environment: dict[str, str]) -> None:
    overrides = [
        "arch.depth=3",
        "epochs=3",
        "study.name=shapes",
        "wandb.tags=[mine]",
        "wandb.notes=why",
        "team.member=2",
    ]
    ended = command(folder, environment | server.environment, *overrides)
    assert ended.code == 0, ended.stderr
    result, rows = record(folder)
    ((path, run),) = server.runs.items()
    assert path == f"the-team/hw/{result['key']}" and server.unknown == []
    assert (run.state, run.group, run.job_type, run.notes) == ("finished", "shapes", "train", "why")
    assert run.name == "data=espeak_tiny data.context=2 arch.depth=3 arch.width=32 seed=0"
    assert {"mine", "arch=cylinder", "data=espeak_tiny"} <= set(run.tags)
    assert run.config["key"] == result["key"] and run.config["arch"]["depth"] == 3
    assert [{name: row[name] for name in rows[0]} for row in run.epochs] == rows and len(run.history) == len(rows) + 1
    assert run.summary["best/val/accuracy"] == result["metrics"]["val/accuracy"]
    assert run.summary["best/epoch"] == result["metrics"]["best_epoch"] and run.summary["status"] == "finished"
    assert f"wandb: online (an API key was found) {server.environment['WANDB_BASE_URL']}" in ended.stdout
    assert API_KEY not in ended.stdout + ended.stderr and not files_with(API_KEY, folder)
    again = command(folder, environment | server.environment, *overrides, "rerun=true")
    assert again.code == 0 and f"{path}-r1" in server.runs, "a repetition is a run of its own"
    assert len(run.epochs) == 3


def test_online_a_killed_run_goes_on_with_each_epoch_once(
    folder: Path, server: WandbServer, environment: dict[str, str]
) -> None:
    killed = command(
        folder, environment | server.environment, "epochs=30",
        at="epoch 4/30", plant=lambda process: os.kill(process, signal.SIGKILL),
    )  # fmt: skip
    assert killed.code == -signal.SIGKILL
    ended = command(folder, environment | server.environment, "epochs=30")
    assert ended.code == 0 and "resumed after epoch" in ended.stdout
    ((_, run),) = server.runs.items()
    assert [row["epoch"] for row in run.epochs] == list(range(1, 31)) and run.state == "finished"


def test_divergence_is_told_to_those_who_asked(folder: Path, server: WandbServer, environment: dict[str, str]) -> None:
    diverging = ["optim=sgd", "optim.lr=1e30", "arch.norm=none", "arch.activation=relu", "wandb.alert=true"]
    ended = command(folder, environment | server.environment, *diverging)
    assert ended.code == 0
    ((_, run),) = server.runs.items()
    assert run.state == "failed" and run.summary["status"] == "diverged"
    assert [alert["title"] for alert in run.alerts] == ["diverged"]


@pytest.mark.parametrize(("sweep", "code", "trained"), [("study.seeds=2", 0, 2), ("max_params=10", 2, 0)])
def test_the_end_of_a_multirun_is_told_to_those_who_asked(
    sweep: str, code: int, trained: int, folder: Path, server: WandbServer, environment: dict[str, str]
) -> None:
    ended = command(folder, environment | server.environment, "epochs=1", "-m", sweep, "wandb.alert=true")
    assert ended.code == code, ended.stderr
    alerts = [(run.job_type, [alert["title"] for alert in run.alerts]) for run in server.runs.values()]
    assert alerts == [*[("train", [])] * trained, ("multirun", ["multirun ended"])]


@pytest.mark.parametrize("fault", [401, 403, 503, "gone"])
def test_a_server_that_fails_from_the_start_costs_one_warning(
    fault: int | str, folder: Path, server: WandbServer, environment: dict[str, str]
) -> None:
    if fault == "gone":
        server.stop()
    else:
        server.fail = int(fault)
    ended = command(folder, environment | server.environment, "epochs=1")
    assert ended.code == 0, ended.stderr
    assert ended.stdout.count("the server can't be used") == 1 and ended.stderr == ""
    assert "wandb sync outputs/wandb/offline-run-" in ended.stdout
    result, rows = record(folder)
    (offline,) = (folder / "outputs" / "wandb").glob("offline-run-*")
    assert [row["epoch"] for row in wandb_file.read(offline).epochs] == [row["epoch"] for row in rows] == [1]
    assert result["status"] == "finished" and not files_with(API_KEY, folder)


@pytest.mark.parametrize("fault", ["403", "gone"])  # 503 is in test_sync, which mends it
def test_a_server_that_fails_while_training_costs_one_warning(
    fault: str, folder: Path, server: WandbServer, environment: dict[str, str]
) -> None:
    def plant(process: int) -> None:
        server.fail = 403 if fault == "403" else 0
        if fault == "gone":
            server.stop()

    ended = command(folder, environment | server.environment, "epochs=20", at="epoch 2/20", plant=plant)
    assert ended.code == 0, ended.stderr
    assert ended.stderr == "" and ended.stdout.count("the server does not have all of this run") == 1
    assert "`ablate sync` uploads it" in ended.stdout
    assert ended.seconds_after < 60, "it hangs"
    _, rows = record(folder)
    assert [row["epoch"] for row in rows] == list(range(1, 21))


def test_a_service_that_never_ends_a_run_is_ended(
    folder: Path, server: WandbServer, environment: dict[str, str]
) -> None:
    """Wandb 0.31 retries an artifact's manifest for ever, whatever its `finish_timeout`."""
    server.stuck = True
    ended = command(folder, environment | server.environment, "epochs=1")
    assert ended.code == 0 and ended.stderr == "", ended.stderr
    assert ended.stdout.count("the server does not have all of this run") == 1, ended.stdout
    assert record(folder)[0]["status"] == "finished"
    (window,) = (folder / "outputs/wandb").glob("run-*")
    assert [row["epoch"] for row in wandb_file.read(window).epochs] == [1]


def test_a_server_that_is_away_for_seconds_gets_everything(
    folder: Path, server: WandbServer, environment: dict[str, str]
) -> None:
    def plant(process: int) -> None:
        server.fail = 503
        threading.Timer(4, setattr, (server, "fail", 0)).start()

    ended = command(folder, environment | server.environment, "epochs=20", at="epoch 2/20", plant=plant)
    assert ended.code == 0 and "does not have all" not in ended.stdout, ended.stdout
    ((_, run),) = server.runs.items()
    assert [row["epoch"] for row in run.epochs] == list(range(1, 21)) and run.state == "finished"


def test_the_printed_command_syncs_a_resumed_offline_run_with_each_epoch_once(
    folder: Path, server: WandbServer, environment: dict[str, str]
) -> None:
    killed = command(
        folder, environment, "epochs=30", at="epoch 4/30", plant=lambda process: os.kill(process, signal.SIGKILL)
    )
    assert killed.code == -signal.SIGKILL
    ended = command(folder, environment, "epochs=30")
    (how_to_sync,) = re.findall(r"wandb sync \S+", ended.stdout)
    wandb_script = Path(sys.executable).with_name("wandb")
    done = subprocess.run(
        [wandb_script, *how_to_sync.split()[1:]], cwd=folder, env=environment | server.environment,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result, _ = record(folder)
    run = server.runs[f"the-team/hw/{result['key']}-2"]
    assert [row["epoch"] for row in run.epochs] == list(range(1, 31)) and run.state == "finished"


@pytest.mark.parametrize("fault", ["none", "503 for seconds", "gone"])  # 403 is told apart by the tests of one run
def test_members_meet_in_one_project_whatever_the_server_does(
    fault: str, folder: Path, server: WandbServer, environment: dict[str, str]
) -> None:
    """A study of two arms, a seed for each member; the server fails while the first runs are under way."""
    size = 4 if fault == "none" else 2
    study = [*ONLINE, "--multirun", "optim=sgd,adamw", "study.name=rates", "epochs=4"]
    study += [f"study.seeds={size}", f"team.size={size}"]
    members = [
        subprocess.Popen(
            [sys.executable, "-m", "ablate.run", *study, f"team.member={number}"],
            cwd=folder, env=environment | server.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in range(1, size + 1)
    ]  # fmt: skip
    deadline = time.monotonic() + 120
    while not any(run.epochs for run in server.runs.values()) and time.monotonic() < deadline:
        time.sleep(0.02)
    if fault == "503 for seconds":
        server.fail = 503
        threading.Timer(4, setattr, (server, "fail", 0)).start()
    if fault == "gone":
        server.stop()
    ended = [(*member.communicate(timeout=240), member.returncode) for member in members]
    assert [code for _, _, code in ended] == [0] * size, ended
    assert all(stderr == "" for _, stderr, _ in ended), ended
    records = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("outputs/runs/*/result.json")}
    assert len(records) == 2 * size
    assert {record["member"] for record in records.values()} == set(range(1, size + 1))
    if fault in ("none", "503 for seconds"):
        assert sorted(run.id for run in server.runs.values()) == sorted(records)
    for run in server.runs.values() if fault == "none" else ():
        record = records[run.id]
        assert run.group == "rates" and run.state == "finished" and [row["epoch"] for row in run.epochs] == [1, 2, 3, 4]
        assert run.name == f"optimizer={record['choices']['optimizer']} seed={record['seed']}"
        assert {f"member={record['member']}", "design=grid"} <= set(run.tags)
        assert run.config["optimizer"]["lr"] == {"sgd": 0.1, "adamw": 0.001}[record["choices"]["optimizer"]]
        assert run.summary["best/val/accuracy"] == record["metrics"]["val/accuracy"]
    if fault == "gone":
        assert all("`ablate sync rates` uploads" in stdout for stdout, _, _ in ended)
