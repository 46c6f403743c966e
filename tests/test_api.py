"""`import ablate` in a notebook."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ablate
from ablate.error import UserError
from ablate.recipe.data.phoneme import PHONEMES
from ablate.run import command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_importing_it_costs_nothing() -> None:
    code = "import sys, ablate; print(sorted({'torch', 'numpy', 'pandas', 'hydra', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ablate.nothing


def test_a_run_by_its_key(tiny: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = ablate.train([*tiny, "normalization=zscore"])
    assert not capsys.readouterr().err
    assert result == json.loads((folder / f"outputs/runs/{result['key']}/result.json").read_text())
    assert ablate.train([*tiny, "normalization=zscore"]) == result  # not trained twice
    run = ablate.load_run(result["key"][:8])
    assert run.key == result["key"] and run.result == result and result["key"] in repr(run)
    assert [row["epoch"] for row in run.history] == [1]
    assert run.config["normalization"]["_target_"].endswith("zscore") and run.config["arch"]["width"] == 32
    assert sum(each.numel() for each in run.model.parameters()) == result["num_params"]
    features = np.random.default_rng(0).normal(size=(20, 28))
    before = features.copy()
    labels, probabilities = run.predict(features), run.probabilities(features)
    assert labels.shape == (20,) and probabilities.shape == (20, 40) and np.array_equal(features, before)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5) and set(labels) <= set(PHONEMES)
    with pytest.raises(UserError, match="trained on 28 coefficients a frame, found 3"):
        run.predict(features[:, :3])


def test_a_study_by_its_name(tiny: list[str], folder: Path) -> None:
    given = [each for each in tiny if not each.startswith("arch")]
    line = ["-m", *given, "arch.width=8,16", "study.seeds=2", "study.name=widths"]
    assert command(line) == 0
    study = ablate.load_study("widths")
    frame = study.frame()
    assert list(frame["status"]) == ["finished"] * 4 and set(frame["arch.width"]) == {"8", "16"}
    assert frame["val/accuracy"].between(0, 1).all() and frame["seed"].tolist() == [0, 0, 1, 1]
    verdicts = study.verdicts()
    assert verdicts["arm"].tolist() == ["arch.width=16"] and verdicts["n"].tolist() == [2]
    assert "4 finished" in repr(study)


def test_mistakes_are_raised_with_their_line(folder: Path) -> None:
    with pytest.raises(UserError, match="arch=pyramd: no such option; did you mean pyramid"):
        ablate.train(["arch=pyramd"])
    with pytest.raises(UserError, match="a study is many runs"):
        ablate.train(["-m", "arch=cylinder,pyramid"])
    with pytest.raises(UserError, match="several levels are a study"):
        ablate.train(["arch.depth=1,2"])
    with pytest.raises(UserError, match="no run in outputs/runs"):
        ablate.load_run("0123")
    with pytest.raises(UserError, match="no such study in outputs"):
        ablate.load_study("nothing")


def test_what_is_no_utterance_and_what_is_no_run(tiny: list[str], folder: Path) -> None:
    run = ablate.load_run(ablate.train(tiny)["key"])
    features = np.random.default_rng(0).normal(size=(9, 28)).astype(np.float32)
    assert run.predict(features[::-1]).shape == (9,)
    spoiled = features.copy()
    spoiled[3, 3] = np.nan
    for wrong, said in (
        (features[:0], r"expected \(frames, mfcc\), found \(0, 28\)"),
        (spoiled, "NaN or infinity"),
        ([["a", "b"]], "expected numbers"),
        ([[1.0], [1.0, 2.0]], "expected numbers"),
    ):
        with pytest.raises(UserError, match=said):
            run.predict(wrong)
    for line in (["--help"], ["--cfg", "job"], [*tiny, "plot=scheduler"], [*tiny, "study.dry_run=true"]):
        with pytest.raises(UserError, match="asks for no run; give it to the command"):
            ablate.train(line)
    with pytest.raises(UserError, match="expected a list of overrides"):
        ablate.train("arch=pyramid")
