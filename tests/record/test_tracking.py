"""wandb's modes, and an offline run read back from its file."""

from pathlib import Path
from typing import Any

import pytest

from ablate.compose import compose, resolve
from ablate.error import UserError
from ablate.record import tracking
from tests import wandb_file

KEY = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.mark.parametrize("asked", ["offline", "disabled"])
def test_a_mode_that_is_asked_for(asked: str) -> None:
    assert tracking.choose_mode(asked) == (asked, f"wandb.mode={asked}")


def test_auto_goes_by_the_environment_then_by_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert tracking.choose_mode("auto") == ("offline", "no API key was found")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert tracking.choose_mode("auto") == ("online", "an API key was found")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert tracking.choose_mode("auto")[0] == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert tracking.choose_mode("auto")[0] == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert tracking.choose_mode("auto") == ("disabled", "WANDB_MODE=disabled")
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(UserError, match="WANDB_MODE: expected one of"):
        tracking.choose_mode("auto")


def test_online_without_a_key_is_refused() -> None:
    with pytest.raises(UserError, match="no API key"):
        tracking.choose_mode("online")


def run_offline(output_dir: Path, *overrides: str, status: str = "finished") -> tuple[str, wandb_file.OfflineRun]:
    config = resolve(compose([f"output_dir={output_dir}", *overrides]))
    before = set(output_dir.glob("wandb/offline-run-*"))
    tracker = tracking.start(
        config,
        key=KEY,
        name="arch=pyramid seed=0",
        mode="offline",
        tags=["arch=pyramid", "x" * 99],
        repetition=0,
        warn=print,
    )
    row: dict[str, Any] = {"epoch": 1, "step": 7, "lr": 0.1, "train/loss": 2.0, "val/accuracy": 0.5, "seconds": 1.5}
    tracker.log(row)
    tracker.log(row | {"epoch": 2, "val/accuracy": None})
    how_to_sync = tracker.finish(status, {"val/accuracy": 0.5, "best_epoch": 1})
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
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert run.history[0] | {"lr": 0.1, "train/loss": 2.0, "val/accuracy": 0.5} == run.history[0]
    assert run.summary["best/val/accuracy"] == 0.5 and run.summary["best/epoch"] == 1
    assert run.exit_code == 0


def test_a_single_run_has_no_group_and_another_attempt_another_id(tmp_path: Path) -> None:
    _, first = run_offline(tmp_path, status="diverged")
    _, second = run_offline(tmp_path)
    assert first.run.run_group == "" and first.run.run_id == f"{KEY}-1" and second.run.run_id == f"{KEY}-2"
    assert first.exit_code == 1 and first.summary["status"] == "diverged"
