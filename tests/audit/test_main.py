"""`ablate audit`: each planted fault is found and named, sound data are not accused, mistakes are told in a line."""

import copy
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.audit.__main__ import main
from ablate.audit.finding import KINDS
from ablate.config.settings import Config
from tests.audit.planted import FAULTS, FOLDERS, OF_VAL, ONE, names, read
from tests.trainings import checked

_FIRST_OF_ITS_KIND = set({each.kind: name for name, each in reversed(FAULTS.items())}.values())


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are empty, and configs composed once: both take longer than all else, and have tests of their own."""
    monkeypatch.setattr("ablate.audit.page.page", lambda *_: "")
    monkeypatch.setattr("ablate.audit.__main__._settings", lambda line: (_config(*line.overrides), "hw1p2"))


@cache
def _composed() -> Config:
    return checked(["data=hw1p2", "data.root=?"])


def _config(*overrides: str) -> Config:
    config = copy.deepcopy(_composed())
    for each in overrides:
        name, _, value = each.partition("=")
        node: dict[str, Any] = config["data"] if name.startswith("data.") else config  # type: ignore[assignment]
        node |= {name.removeprefix("data."): value} if name != "data" else {}
    return config


def audited(root: Path, *overrides: str) -> tuple[int, dict[str, Any], Path]:
    """Exit code, audit.json and the folder of an audit of the folder `root`."""
    output = root.parent / "outputs"
    before = set(output.glob("audits/*"))
    code = main(["data=hw1p2", f"data.root={root}", f"output_dir={output}", *overrides])
    (folder,) = set(output.glob("audits/*")) - before
    return code, json.loads((folder / "audit.json").read_text()), folder


def test_there_is_a_fault_of_each_kind() -> None:
    assert {each.kind for each in FAULTS.values()} | {"name in two splits"} == set(KINDS) and len(FAULTS) >= 20


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_named(fault: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant, kind, utterance, split = FAULTS[fault]
    plant(root)
    code, said, folder = audited(root)
    assert {each["kind"] for each in said["findings"]} == {kind}
    assert code == (1 if KINDS[kind].rank == "mend" else 0) == int(said["must_be_mended"])
    (found, *_) = [each for each in said["findings"] if each["split"] == split]
    printed = capsys.readouterr().out
    assert f"  {split}: {kind}: " in printed
    if utterance is None:
        assert not found["utterances"] and not said["leave_out"]
        return
    assert utterance in found["utterances"] and utterance in printed
    listed = (folder / "leave_out.txt").read_text().splitlines()
    assert listed == said["leave_out"] and (f"{split}/{utterance}" in listed) == (code == 1)
    if code == 1 and fault in _FIRST_OF_ITS_KIND:
        assert f"data.leave_out={folder}/leave_out.txt" in printed
        code, said, _ = audited(root, f"data.leave_out={folder}/leave_out.txt")
        assert code == 0 and not said["findings"], "the list mends it"


@pytest.mark.usefixtures("undrawn")
def test_names_in_two_splits_are_told(root: Path) -> None:
    for part in ("mfcc", "transcript"):
        file = root / FOLDERS["val"] / part / f"{OF_VAL}.npy"
        file.rename(file.with_name(f"{ONE}.npy"))
    code, said, _ = audited(root)
    assert code == 0 and {each["kind"] for each in said["findings"]} == {"name in two splits", "speaker in two splits"}


@pytest.mark.usefixtures("undrawn")
def test_a_test_split_may_have_no_labels_and_is_compared_too(root: Path) -> None:
    (root / "test-clean/mfcc").mkdir(parents=True)
    for name in names(root, "val")[:3]:
        features, _ = read(root, "val", name)
        np.save(root / "test-clean/mfcc" / f"{name}.npy", features + 1)
    np.save(root / "test-clean/mfcc/copy.npy", read(root, "train", ONE)[0])
    code, said, folder = audited(root)
    assert code == 1 and not said["not_there"] and "labels" not in said["splits"]["test"]
    assert said["splits"]["test"]["utterances"] == 4
    assert (folder / "leave_out.txt").read_text() == f"train/{ONE}\n"


@pytest.mark.usefixtures("undrawn")
def test_a_split_without_a_sound_utterance_is_told_and_no_crash(root: Path) -> None:
    for name in names(root, "val"):
        (root / FOLDERS["val"] / "transcript" / f"{name}.npy").write_bytes(b"")
    code, said, _ = audited(root)
    (found,) = said["findings"]
    assert code == 1 and found["kind"] == "refused" and len(found["utterances"]) == 10


def test_the_command_on_sound_data(tmp_path: Path, corpus_cache: Path, environment: dict[str, str]) -> None:
    """The embedded corpus, all its splits, with its page; nothing is found."""
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/cache").symlink_to(corpus_cache)
    done = subprocess.run(
        [sys.executable, "-m", "ablate.audit", "data=espeak_tiny"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.endswith(" ...")]
    assert [line.split()[0] for line in lines[:4]] == ["split", "train", "val", "test"]
    assert lines[4] == "nothing is found wrong" and lines[5].startswith("page: outputs/audits/espeak_tiny-")
    assert Path(tmp_path / lines[5].removeprefix("page: ")).is_file()
    (listed,) = tmp_path.glob("outputs/audits/*/leave_out.txt")
    assert not listed.read_text() and not (tmp_path / "outputs/runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data=hw1p2"], "data.root: missing, and it has no default; give data.root=..."),
        (["data=hw1p2", "data.root=/nowhere"], "data.root=/nowhere: no such folder"),
        (["data=hw1p3"], "data=hw1p3: no such option; did you mean hw1p2? "),
        (["data.contxt=3"], "data.contxt: unknown key; did you mean data.context?"),
        (["data=espeak,hw1p2"], "data=espeak,hw1p2: expected one option"),
        (["--multirun", "data=espeak"], "--multirun: an audit is of one corpus; give one data=..., and no study"),
        (["--cfg", "job"], "--cfg: `ablate run` has it, an audit does not"),
        (
            ["data=espeak_tiny", "data.leave_out=gone"],
            "data.leave_out=gone: No such file or directory; expected a line",
        ),
    ],
)
def test_a_mistake_is_told_in_a_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1 and printed[0].startswith(f"ablate: {said}")
    assert not (tmp_path / "outputs/audits").exists()
