"""`ablate sync` uploads what wandb's server does not have of a study, and goes on where it was left."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.record import upload
from ablate.record.layout import Layout
from tests.conftest import Command
from tests.wandb_server import WandbServer

STUDY = ["-m", "optim=sgd,adamw", "study.name=s", "epochs=2"]


def test_a_study_that_was_kept_offline_is_uploaded_run_by_run(
    ablate: Command, shown: list[str], tmp_path: Path, server: WandbServer
) -> None:
    study = [*(each for each in shown if not each.startswith("epochs")), *STUDY]
    done = ablate(*study)
    assert done.returncode == 0 and "wandb: `ablate sync s` uploads 2 runs of the study" in done.stdout, done.stderr
    no_key = ablate("s", module="ablate.sync")
    assert no_key.returncode == 2 and no_key.stderr.startswith("ablate: wandb: no API key in WANDB_API_KEY or netrc")
    server.fail = 403
    refused = ablate("s", module="ablate.sync", env=server.environment)
    assert refused.returncode == 1 and "the server can't be used" in refused.stderr and not server.runs
    server.fail = 0
    (first, second) = sorted((tmp_path / "outputs/wandb").glob("offline-run-*"))
    (second / "aside.wandb").write_bytes(b"not what wandb writes")
    for file in second.glob("run-*.wandb"):
        file.rename(tmp_path / file.name)
    half = ablate("s", module="ablate.sync", env=server.environment)
    assert half.returncode == 1 and "1 of 2 runs are left; the same command goes on" in half.stderr, half.stdout
    assert f"uploaded: {first.relative_to(tmp_path)}" in half.stdout and "failed: " in half.stdout
    (second / "aside.wandb").unlink()
    for file in tmp_path.glob("run-*.wandb"):
        file.rename(second / file.name)
    rest = ablate("s", module="ablate.sync", env=server.environment)
    assert rest.returncode == 0, rest.stderr
    assert rest.stdout.splitlines()[-1] == f"uploaded: {second.relative_to(tmp_path)}"
    assert {run.group for run in server.runs.values()} == {"s"} and len(server.runs) == 2
    assert all([row["epoch"] for row in run.epochs] == [1, 2] for run in server.runs.values())
    assert all(json.loads(run.summary["record"])["status"] == "finished" for run in server.runs.values())
    again = ablate("s", module="ablate.sync")
    assert again.returncode == 0 and again.stdout == "nothing is left to upload\n"
    assert "sync" not in ablate(*study).stdout, "what is uploaded needs no upload"


def test_a_run_alone_is_uploaded_too_and_a_study_that_is_not_there_is_named(
    ablate: Command, shown: list[str], server: WandbServer
) -> None:
    assert ablate(*shown, "optim=sgd").returncode == 0
    done = ablate(module="ablate.sync", env=server.environment)
    assert done.returncode == 0 and re.fullmatch(
        r"uploading 1 .*\nuploaded: outputs/wandb/offline-run-\S+\n", done.stdout
    )
    assert len(server.runs) == 1
    unknown = ablate("shapes", module="ablate.sync", env=server.environment)
    assert unknown.returncode == 2 and "shapes: no such study in outputs" in unknown.stderr


def test_of_a_run_whose_server_failed_in_its_middle_the_rest_is_uploaded(
    ablate: Command, shown: list[str], tmp_path: Path, server: WandbServer
) -> None:
    """`wandb sync` would repeat the epochs that are there. What can't be uploaded leaves the server as it is."""

    def sync(code: int, said: str) -> None:
        done = ablate(module="ablate.sync", env=server.environment)
        assert done.returncode == code and re.search(said, done.stdout), done

    def epochs() -> list[int]:
        return [row["epoch"] for row in run.epochs]

    server.breaks_at = 3
    of_run = [each for each in shown if not each.startswith(("epochs", "wandb.project"))]
    of_run += ["-m", "study.name=s", "epochs=5"]
    elsewhere = server.environment | {"WANDB_PROJECT": "of-team"}  # which is not named any more when it is uploaded
    done = ablate(*of_run, env=elsewhere)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.count("the server does not have all of this run") == 1
    assert "`ablate sync s` uploads 1 run of the study" in done.stdout
    ((path, run),) = server.runs.items()
    name, tags, config = run.name, run.tags, {**run.config, "_wandb": None}
    assert epochs() == [1, 2, 3] and run.state == "running" and path.startswith("the-team/of-team/")
    (window,) = (each.parent for each in (tmp_path / "outputs/wandb").glob("run-*/unsynced"))
    metrics = next((tmp_path / "outputs/runs").glob("*/metrics.jsonl"))
    whole = metrics.read_bytes()

    server.fail, server.breaks_at = 0, 4
    sync(1, "failed: ")
    assert epochs() == [1, 2, 3, 4]
    server.fail, server.breaks_at = 0, None
    metrics.write_bytes(whole[:-9])
    sync(1, "not the file that the run wrote")
    assert epochs() == [1, 2, 3, 4] and run.state == "running"
    metrics.write_bytes(whole)
    marked = (window / "unsynced").read_bytes()
    (window / "unsynced").write_bytes(b"\xff")
    sync(1, "unsynced: expected ENTITY/PROJECT/")
    (window / "unsynced").write_bytes(marked)
    sync(0, r"^uploaded: outputs/wandb/run-\S+\n$")
    assert epochs() == [1, 2, 3, 4, 5] and run.state == "finished" and len(server.runs) == 1
    assert (run.name, run.tags, {**run.config, "_wandb": None}) == (name, tags, config)
    assert json.loads(run.summary["record"])["status"] == "finished"
    sync(0, "^nothing is left to upload\n$")

    assert ablate(*of_run, "rerun=true", env=elsewhere).returncode == 0
    (window / "whole").rename(window / "unsynced")
    sync(1, "the server has the first [0-9]+ rows of it, and .* is not the record of this training; `wandb sync")
    assert epochs() == [1, 2, 3, 4, 5]


def test_of_a_run_that_was_killed_the_rest_is_uploaded_and_it_goes_on_as_one_run(
    ablate: Command, shown: list[str], environment: dict[str, str], tmp_path: Path, server: WandbServer
) -> None:
    """Also where it is offline that it goes on."""

    def epochs() -> list[int]:
        return [row["epoch"] for row in run.epochs]

    def trained() -> int:
        rows = list((tmp_path / "outputs/runs").glob("*/metrics.jsonl"))
        return rows[0].read_bytes().count(b"\n") if rows else 0

    server.breaks_at = 1
    of_run = [*(each for each in shown if not each.startswith("epochs")), "epochs=60", "progress=plain"]
    command = [sys.executable, "-u", "-m", "ablate.run", *of_run]
    with subprocess.Popen(command, cwd=tmp_path, env=environment | server.environment, stdout=subprocess.PIPE) as first:
        while trained() < 3:
            assert first.poll() is None
            time.sleep(0.005)
        first.send_signal(signal.SIGSTOP)  # it trains no further, while what it has told is on its way
        deadline = time.monotonic() + 60
        while not any(run.epochs for run in server.runs.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        first.kill()  # whatever has come of it: who has been stopped never ends
        first.communicate(timeout=60)
    ((_, run),) = server.runs.items()
    server.fail, server.breaks_at = 0, None
    done = ablate(module="ablate.sync", env=server.environment)
    assert done.returncode == 0 and done.stdout.startswith("uploaded: "), done
    assert epochs() == list(range(1, trained() + 1)) and trained() < 60
    assert run.state != "finished" and "record" not in run.summary
    assert ablate(*of_run, "wandb.mode=offline").returncode == 0
    done = ablate(module="ablate.sync", env=server.environment)
    assert done.returncode == 0 and done.stdout.startswith("uploaded: "), done
    assert epochs() == list(range(1, 61)) and run.state == "finished" and len(server.runs) == 1
    assert ablate(module="ablate.sync").stdout == "nothing is left to upload\n"


def test_an_upload_of_what_was_kept_offline_that_is_interrupted_goes_on_where_it_was(
    ablate: Command, shown: list[str], environment: dict[str, str], tmp_path: Path, server: WandbServer
) -> None:
    longer = [*(each for each in shown if not each.startswith("epochs")), "epochs=6"]
    assert ablate(*longer).returncode == 0
    server.breaks_at = 3
    command = [sys.executable, "-m", "ablate.sync"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment | server.environment, stdout=subprocess.PIPE) as first:
        while not server.fail:
            assert first.poll() is None
            time.sleep(0.05)
        first.terminate()
        first.communicate(timeout=60)
    ((_, run),) = server.runs.items()
    assert [row["epoch"] for row in run.epochs] == [1, 2, 3]
    server.fail, server.breaks_at = 0, None
    done = ablate(module="ablate.sync", env=server.environment)
    assert done.returncode == 0 and re.fullmatch(r"uploaded: outputs/wandb/offline-run-\S+\n", done.stdout), done
    assert [row["epoch"] for row in run.epochs] == [1, 2, 3, 4, 5, 6] and run.state == "finished"
    assert ablate(module="ablate.sync").stdout == "nothing is left to upload\n"


@pytest.mark.parametrize(
    ("windows", "left"),
    [
        (["offline-run-1-K-1"], [0]),
        (["offline-run-1-K-1 run-K-1.wandb.synced"], []),
        (["offline-run-1-K-1", "offline-run-2-K-2"], [1]),  # which has all of it
        (["offline-run-1-K-1", "offline-run-2-K-r1-1"], [0, 1]),  # two trainings
        (["run-1-K"], []),  # of before there were marks
        (["run-1-K unsynced"], [0]),
        (["run-1-K unsynced run-K.wandb.synced"], []),
        (["run-1-K whole"], []),
        (["run-1-K unsynced", "run-2-K unsynced"], [1]),
        (["offline-run-1-K-1", "run-2-K whole"], []),
        (["run-1-K whole", "offline-run-2-K-2"], [0]),
        (["run-1-K whole", "offline-run-2-K-2", "run-3-K"], [0]),  # the last of an upload that did not get through
        (["offline-run-1-K-1 unsynced run-K-1.wandb.synced", "offline-run-2-K-2"], [0]),
        (["offline-run-1-K-1 unsynced begun", "offline-run-2-K-2"], [0]),
        (["offline-run-1-agents1", "offline-run-2-agents2"], [0, 1]),
    ],
)
def test_of_all_attempts_at_a_training_one_is_uploaded(windows: list[str], left: list[int], tmp_path: Path) -> None:
    key, folders = "0123456789abcdef", list[Path]()
    for window in windows:
        name, *files = window.replace("K", key).replace("run-", "run-20261127_10000", 1).split()
        folders.append(tmp_path / "wandb" / name)
        folders[-1].mkdir(parents=True)
        for file in files:
            (folders[-1] / file).touch()
    found = upload.left(Layout(tmp_path))
    assert [each.folder for each in found] == [folders[number] for number in left]


def test_what_a_mark_says_leads_to_no_other_folder(tmp_path: Path) -> None:
    folder = tmp_path / "outputs/wandb/run-20261127_100001-abc"
    folder.mkdir(parents=True)
    (folder / "unsynced").write_text("the-team/hw/abc\n../../elsewhere\n")
    (found,) = upload.left(Layout(tmp_path / "outputs"))
    assert found.key == "abc" and [each.name for each in tmp_path.iterdir()] == ["outputs"]
