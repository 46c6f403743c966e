"""What the user has told wandb: its modes, its variables, and what its commands have set."""

import os
from pathlib import Path

import pytest

from ablate.error import UserError
from ablate.record import wandb_settings
from tests.trainings import config_of


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("WANDB"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "of-wandb"))


@pytest.mark.parametrize("asked", ["offline", "disabled"])
def test_a_mode_that_is_asked_for(asked: str) -> None:
    assert wandb_settings.choose_mode(asked) == (asked, f"wandb.mode={asked}")


def test_auto_goes_by_the_environment_then_by_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert wandb_settings.choose_mode("auto") == ("offline", "no API key was found")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert wandb_settings.choose_mode("auto") == ("online", "an API key was found")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert wandb_settings.choose_mode("auto")[0] == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert wandb_settings.choose_mode("auto")[0] == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_settings.choose_mode("auto") == ("disabled", "WANDB_MODE=disabled")
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    monkeypatch.setenv("WANDB_BASE_URL", "wandb.example.org")
    assert wandb_settings.choose_mode("disabled")[0] == "disabled"
    with pytest.raises(UserError, match="WANDB_BASE_URL: expected the address of a server, https://HOST"):
        wandb_settings.choose_mode("offline")
    for wrong in ("https://", "ftp://host", "http://host:notaport", "http://host:99999", "http://[::1"):
        monkeypatch.setenv("WANDB_BASE_URL", wrong)
        with pytest.raises(UserError, match="WANDB_BASE_URL: expected the address of a server, https://HOST"):
            wandb_settings.choose_mode("offline")
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(UserError, match="WANDB_MODE: expected one of"):
        wandb_settings.choose_mode("auto")


@pytest.mark.parametrize(("settings", "mode"), [("offline", "offline"), ("disabled", "disabled"), ("online", "online")])
def test_what_wandbs_commands_have_set_in_the_folder_is_heeded(
    settings: str, mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert wandb_settings.choose_mode("auto")[0] == "online"
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb/settings").write_text(f"[default]\nmode = {settings}\n")
    assert wandb_settings.choose_mode("auto")[0] == mode
    assert wandb_settings.choose_mode("online")[0] == "online", "what is asked for goes first"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_settings.choose_mode("auto") == ("offline", "WANDB_MODE=offline")
    monkeypatch.delenv("WANDB_MODE")
    (tmp_path / "wandb/settings").write_bytes(b"\xff not an INI file")
    assert wandb_settings.choose_mode("auto")[0] == "online"


def test_online_without_a_key_is_refused() -> None:
    with pytest.raises(UserError, match="no API key"):
        wandb_settings.choose_mode("online")


def test_a_login_is_found_under_either_name_of_wandbs_server_and_of_ones_own_with_its_port(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine api.forge.coreweave.com login user password secret\n")
    assert wandb_settings.choose_mode("auto")[0] == "online"
    (tmp_path / "of-wandb").mkdir()
    (tmp_path / "of-wandb/settings").write_text("[default]\nbase_url = http://wandb.lab:8080\n")  # wandb login --host
    assert wandb_settings.server_url() == "http://wandb.lab:8080"
    assert wandb_settings.choose_mode("auto")[0] == "offline"
    (tmp_path / "netrc").write_text("machine wandb.lab:8080 login user password secret\n")
    assert wandb_settings.choose_mode("auto")[0] == "online"


def test_wandbs_variables_name_a_run_and_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"NAME": "mine", "TAGS": "a, b", "JOB_TYPE": "try", "RUN_GROUP": "mates", "NOTES": "why", "ENTITY": "team"}
    for name, value in given.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    config = config_of(["wandb.tags=[c]"], tmp_path)
    found = wandb_settings.of_run(config, "arch=pyramid seed=0", ["arch=pyramid", "x" * 99])
    assert found == {
        "name": "mine",
        "tags": ["c", "a", "b", "arch=pyramid", "x" * 64],
        "job_type": "try",
        "group": "mates",
        "notes": "why",
    }
    assert wandb_settings.entity(config["wandb"]) == "team" and wandb_settings.not_heeded(config) == []


def test_what_is_not_heeded_of_wandbs_variables_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NAME", "RUN_GROUP", "DIR", "RUN_ID"):
        monkeypatch.setenv(f"WANDB_{name}", "given")
    of_a_study = config_of(["study.name=s", "study.arm=a"], tmp_path)
    found = wandb_settings.of_run(of_a_study, "a seed=0", [])
    assert (found["name"], found["group"]) == ("a seed=0", "s")
    said = wandb_settings.not_heeded(of_a_study)
    assert [line.partition("=")[0] for line in said] == ["WANDB_DIR", "WANDB_RUN_ID", "WANDB_RUN_GROUP", "WANDB_NAME"]
    assert f"WANDB_DIR=given: not heeded; wandb's files lie in {tmp_path}/wandb; output_dir= moves them" in said
    alone = wandb_settings.not_heeded(config_of([], tmp_path))
    assert [line.partition("=")[0] for line in alone] == ["WANDB_DIR", "WANDB_RUN_ID"]
    assert wandb_settings.sweep_run() is None
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    assert wandb_settings.sweep_run() == "given" and wandb_settings.not_heeded(config_of([], tmp_path)) == []
