"""A report in wandb: page, tables and pictures, as a run of the study's group."""

import json
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.report.studies import recorded
from tests.wandb_server import API_KEY, WandbServer


@pytest.fixture
def study(tmp_path: Path) -> None:
    """A study of two arms on three seeds, by a command that names a project."""
    accuracies = {"arch=cylinder": [0.5, 0.51, 0.52], "arch=pyramid": [0.6, 0.61, 0.62]}
    places = recorded(tmp_path / "outputs", accuracies)
    overrides = ["wandb.project=hw", "wandb.entity=the-team", "wandb.mode=disabled", "arch=cylinder,pyramid"]
    command = {"config_name": "config", "folders": [], "overrides": overrides}
    places.command("shapes").write_text(json.dumps(command))


def test_page_tables_and_pictures_are_a_run_of_the_studys_group(
    study: None, ablate: Command, tmp_path: Path, server: WandbServer
) -> None:
    done = ablate("shapes", "--publish", module="ablate.report", env=server.environment)
    assert done.returncode == 0, done.stderr
    ((path, run),) = server.runs.items()
    assert path.startswith("the-team/hw/report") and server.unknown == []
    assert (run.group, run.job_type, run.name, run.state) == ("shapes", "report", "report of shapes", "finished")
    assert f"published: {server.environment['WANDB_BASE_URL']}/{run.entity}/{run.project}/runs/{run.id}" in done.stdout
    (row,) = run.history
    shown = {name: value["_type"] for name, value in row.items() if isinstance(value, dict)}
    assert shown["page"] == "html-file" and shown["runs"] == shown["verdicts"] == "table-file"
    assert [name for name in shown if name.startswith("picture/")]
    (table,) = [json.loads(content) for name, content in server.files.items() if "media/table/verdicts" in name]
    assert table["data"][0][0] == "arch=pyramid" and "better" in table["data"][0]
    page = (tmp_path / "outputs/studies/shapes/report.html").read_bytes()
    assert page in [content for name, content in server.files.items() if "media/html/page" in name]
    assert API_KEY not in done.stdout + done.stderr
    again = ablate("shapes", "--publish", module="ablate.report", env=server.environment)
    assert again.returncode == 0 and len(server.runs) == 2, "each is of its time"


def test_without_a_server_it_is_kept_and_said_how_it_gets_there(
    study: None, ablate: Command, tmp_path: Path, server: WandbServer
) -> None:
    offline = ablate("shapes", "--publish", module="ablate.report")
    assert offline.returncode == 0, offline.stderr
    assert "wandb: offline (no API key was found); `ablate sync shapes` uploads it" in offline.stdout
    synced = ablate("shapes", module="ablate.sync", env=server.environment)
    assert synced.returncode == 0 and [run.job_type for run in server.runs.values()] == ["report"], synced.stderr
    server.fail = 503
    failed = ablate("shapes", "--publish", module="ablate.report", env=server.environment)
    assert (
        failed.returncode == 1 and "the report is not published yet; `ablate sync shapes` uploads it" in failed.stderr
    )
    disabled = ablate("shapes", "--publish", module="ablate.report", env={"WANDB_MODE": "disabled"})
    assert disabled.returncode == 2 and "--publish: wandb is disabled (WANDB_MODE=disabled)" in disabled.stderr
    nameless = ablate("--publish", module="ablate.report")
    assert nameless.returncode == 2 and "--publish: of which study?" in nameless.stderr
