"""`ablate predict`: what is handed in, and what the test split has shown."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.predict import main as predict
from ablate.recipe.data.phoneme import PHONEMES
from ablate.run import command
from tests.conftest import Command

WIDTH = 13


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def corpus(root: Path, **of_test: Any) -> dict[str, int]:
    """Speech in the course's layout, whose classes can be heard; the frames of each test utterance."""
    draw = np.random.default_rng(0)
    frames = {}
    for split, number in (("train-clean-100", 12), ("dev-clean", 4), ("test-clean", 5)):
        is_test = split == "test-clean"
        for part in ("mfcc", "transcript"):
            (root / split / part).mkdir(parents=True)
        for utterance in range(number):
            name, length = f"{100 + utterance}-{9 - utterance}-0000", int(draw.integers(40, 90))
            classes = np.repeat(draw.integers(0, 6, length // 10 + 1), 10)[:length]
            width = of_test.get("width", WIDTH) if is_test else WIDTH
            features = np.eye(6, width)[classes] * 4 + draw.normal(size=(length, width))
            np.save(root / split / "mfcc" / f"{name}.npy", features.astype(np.float32))
            if not is_test or of_test.get("labelled", True):
                spelled = np.array(of_test.get("classes", PHONEMES))[classes]
                labels = np.array(["[SOS]", *spelled, "[EOS]"])
                np.save(root / split / "transcript" / f"{name}.npy", labels)
            if is_test:
                frames[name] = length
        if is_test and not of_test.get("labelled", True):
            (root / split / "transcript").rmdir()
    return frames


def study(root: Path) -> list[str]:
    """The keys of three finished runs, the seeds of one arm."""
    line = ["-m", "data=hw1p2", f"data.root={root}", "data.context=1", "arch.width=16", "arch.depth=1", "epochs=10"]
    line += ["batch_size=32", "normalization=zscore", "study.name=three", "study.seeds=3", "wandb.mode=disabled"]
    assert command(line) == 0
    plan = json.loads(Path("outputs/studies/three/plan.json").read_text())
    return [cell["key"] for cell in plan["cells"]]


def rows(file: Path) -> list[list[str]]:
    with file.open() as lines:
        header, *found = csv.reader(lines)
    assert header == ["id", "label"]
    return found


def test_a_run_labels_each_frame_of_the_test_split(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = corpus(folder / "speech")
    key = study(folder / "speech")[0]
    run = Path("outputs/runs") / key
    for split in ("train-clean-100", "dev-clean"):  # whoever predicts needs neither
        (folder / "speech" / split).rename(folder / f"{split}-away")
    for look in (1, 2):
        assert predict([key[:6]]) == 0
        recorded = json.loads((run / "test.json").read_text())
        assert recorded["looks"] == look and recorded["frames"] == sum(frames.values())
    labels = [label for _, label in rows(run / "submission.csv")]
    assert [number for number, _ in rows(run / "submission.csv")] == [str(each) for each in range(len(labels))]
    spoken = np.concatenate([np.load(f"speech/test-clean/transcript/{name}.npy")[1:-1] for name in sorted(frames)])
    assert len(labels) == sum(frames.values()) == len(spoken)
    assert recorded["accuracy"] == np.mean(spoken == labels) > 0.3
    described = json.loads((run / "submission.json").read_text())
    result = json.loads((run / "result.json").read_text())
    assert described["parameter_count"] == result["num_params"] and described["runs"][0]["layers"] == result["layers"]
    assert "look 2 at the test split" in capsys.readouterr().out
    assert predict([key, "--labels", "indices"]) == 0
    assert [PHONEMES[int(label)] for _, label in rows(run / "submission.csv")] == labels


def test_a_damaged_cache_is_made_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(folder / "speech")
    key = study(folder / "speech")[0]
    assert predict([key]) == 0
    before = Path(f"outputs/runs/{key}/submission.csv").read_bytes()
    for file in Path("outputs/cache").glob("*.frames"):
        content = bytearray(file.read_bytes())
        content[len(content) // 4] ^= 1
        file.write_bytes(content)
    assert predict([key]) == 0
    assert "is not what was written there; the data are read anew" in capsys.readouterr().out
    assert Path(f"outputs/runs/{key}/submission.csv").read_bytes() == before


def test_several_runs_predict_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = corpus(folder / "speech")
    keys = study(folder / "speech")
    results = {key: json.loads(Path(f"outputs/runs/{key}/result.json").read_text()) for key in keys}
    for way in ("average", "vote"):
        assert predict([*reversed(keys), "--combine", way]) == 0
        together = Path("outputs/predictions") / f"{'-'.join(sorted(keys))}.csv"
        assert len(rows(together)) == sum(frames.values())
    described = json.loads(together.with_suffix(".json").read_text())
    assert described["parameter_count"] == sum(result["num_params"] for result in results.values())
    best = max(sorted(keys), key=lambda key: results[key]["metrics"]["val/accuracy"])
    assert predict(["best:three"]) == 0 and (Path("outputs/runs") / best / "submission.csv").exists()
    capsys.readouterr()
    assert predict([*keys, "max_params=100"]) == 2
    assert "max_params=100: the 3 runs have" in capsys.readouterr().err


def test_without_transcripts_nothing_is_said_of_accuracy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = corpus(folder / "speech", labelled=False)
    key = study(folder / "speech")[0]
    assert predict([key]) == 0
    run = Path("outputs/runs") / key
    assert len(rows(run / "submission.csv")) == sum(frames.values())
    assert not (run / "test.json").exists() and "on test" not in capsys.readouterr().out


def test_what_is_wrong_is_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(folder / "speech", width=15)
    key = study(folder / "speech")[0]
    for line, said in (
        ([key], "trained on 13 coefficients a frame, found 15"),
        (["nothing"], "nothing: no run in outputs/runs has a key that begins so"),
        ([""], "'': expected a run's key"),
        (["../.."], "'../..': expected a run's key"),
        (["best:nobody"], "nobody: no such study in outputs"),
        ([key, "arch=pyramid"], "arch: is as the run was trained; expected one of data.root"),
        ([key, "data.root=nowhere"], "data.root=nowhere: no such folder"),
        ([key, "device=nothing"], "device: expected 'auto', 'cpu', 'cuda' or 'mps'"),
        (["data.root=speech"], "expected a run: a key"),
    ):
        capsys.readouterr()
        assert predict(line) == 2, line
        printed = capsys.readouterr().err
        assert said in printed and "Traceback" not in printed, printed


def test_the_command(ablate: Command, tiny: list[str], tmp_path: Path, environment: dict[str, str]) -> None:
    import subprocess
    import sys

    assert ablate(*tiny).returncode == 0
    (run,) = (tmp_path / "outputs/runs").iterdir()
    line = [sys.executable, "-m", "ablate.predict", run.name]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "submission.csv (2,926 frames of 10 utterances)" in done.stdout, done.stderr


def test_silence_is_spelled_as_the_training_data_spell_it(folder: Path) -> None:
    corpus(folder / "speech", labelled=False, classes=["[SIL]", *PHONEMES[1:]])
    key = study(folder / "speech")[0]
    assert predict([key]) == 0
    found = {label for _, label in rows(Path("outputs/runs") / key / "submission.csv")}
    assert "[SIL]" in found and "SIL" not in found


def test_runs_of_other_data_are_told_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(folder / "speech")
    frames = corpus(folder / "other")
    np.save(folder / "other/dev-clean/mfcc/100-9-0000.npy", np.load(folder / "other/dev-clean/mfcc/100-9-0000.npy") + 1)
    np.save(folder / "other/test-clean/mfcc/100-9-0000.npy", np.load("other/test-clean/mfcc/100-9-0000.npy") + 1)
    first = study(folder / "speech")[0]
    second = study(folder / "other")[0]
    assert first != second
    assert predict([first, second]) == 2 and "runs were trained on different data" in capsys.readouterr().err
    for look in (1, 2):
        assert predict([first]) == 0
        assert predict([first, second, "data.root=other"]) == 0
        recorded = json.loads(Path(f"outputs/runs/{first}/test.json").read_text())
        assert recorded["looks"] == look and recorded["frames"] == sum(frames.values())
        assert [each["looks"] for each in recorded["of_other_data"]] == [look]


def test_what_was_left_out_of_training_is_not_asked_for(folder: Path) -> None:
    corpus(folder / "speech")
    Path("list.txt").write_text("train/100-9-0000\n")
    line = ["data=hw1p2", "data.root=speech", "data.context=1", "arch.width=16", "arch.depth=1", "epochs=1"]
    assert command([*line, "batch_size=32", "wandb.mode=disabled", "data.leave_out=list.txt"]) == 0
    Path("list.txt").unlink()
    (run,) = Path("outputs/runs").iterdir()
    assert predict([run.name]) == 0


def test_a_run_that_was_recorded_before_some_keys_were_there_predicts(folder: Path) -> None:
    corpus(folder / "speech")
    key = study(folder / "speech")[0]
    config = Path("outputs/runs") / key / "config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    before = [line for line in lines if not line.startswith(("  device_budget:", "  bias:", "averaging:"))]
    before.remove("  _target_: ablate.recipe.averaging.none\n")
    assert len(lines) == len(before) + 4
    config.write_text("".join(before))
    assert predict([key]) == 0
