"""`ablate sync` uploads what wandb's server does not have of a study, and goes on where it was left."""

import json
import re
from pathlib import Path

import pytest

from ablate.record.layout import Layout
from ablate.training.window import show_rest
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
    assert rest.stdout == f"uploaded: {second.relative_to(tmp_path)}\n"
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
    assert done.returncode == 0 and re.fullmatch(r"uploaded: outputs/wandb/offline-run-\S+\n", done.stdout)
    assert len(server.runs) == 1
    unknown = ablate("shapes", module="ablate.sync", env=server.environment)
    assert unknown.returncode == 2 and "shapes: no such study in outputs" in unknown.stderr


def test_of_a_run_whose_server_failed_in_its_middle_the_rest_is_uploaded(
    ablate: Command, shown: list[str], tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wandb sync` would repeat the epochs that are there."""
    server.breaks_at = 3
    study = ["-m", "study.name=s"]
    longer = [each for each in shown if not each.startswith("epochs")]
    done = ablate(*longer, *study, "epochs=5", env=server.environment)
    assert done.returncode == 0, done.stderr
    ((_, run),) = server.runs.items()
    name, tags, config = run.name, run.tags, {**run.config, "_wandb": None}
    assert [row["epoch"] for row in run.epochs] == [1, 2, 3] and run.state == "running"
    assert "`ablate sync s` uploads 1 runs of the study" in done.stdout, done.stdout
    assert done.stdout.count("the server does not have all of this run") == 1 and done.stderr == ""
    server.fail, server.breaks_at = 0, None
    rest = ablate(module="ablate.sync", env=server.environment)
    assert rest.returncode == 0 and re.fullmatch(r"uploaded: outputs/wandb/run-\S+\n", rest.stdout), rest
    assert [row["epoch"] for row in run.epochs] == [1, 2, 3, 4, 5] and run.state == "finished"
    assert (run.name, run.tags, {**run.config, "_wandb": None}) == (name, tags, config) and len(server.runs) == 1
    assert json.loads(run.summary["record"])["status"] == "finished"
    # The record is another training's now.
    assert ablate(*longer, *study, "epochs=5", "rerun=true", env=server.environment).returncode == 0
    (window,) = (each.parent for each in (tmp_path / "outputs/wandb").glob("run-*/unsynced"))
    for marker in window.glob("*.synced"):
        marker.unlink()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    assert show_rest(Layout(tmp_path / "outputs"), window, print) is None
    (window / "unsynced").unlink()
    assert ablate(module="ablate.sync").stdout == "nothing is left to upload\n"
