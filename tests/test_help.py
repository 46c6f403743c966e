"""`ablate help`: what a key means, its default, what it may be."""

from pathlib import Path

import pytest

from ablate.config.settings import GROUPS
from ablate.help import main


def said(capsys: pytest.CaptureFixture[str], *topics: str, code: int = 0) -> str:
    assert main(list(topics)) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def test_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "arch").splitlines()
    assert "arch=pyramid          Hidden layers that narrow from the input to the output." in lines
    assert lines[lines.index("arch.depth=2  # hidden layers") + 1] == "    a whole number from 0 to 1000"
    assert "arch.dropout_every=1  # hidden layers from one dropout" in said(capsys, "arch")


def test_an_option_by_the_alias_of_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "optim=sam")
    assert "optimizer.rho=0.05  # how far away the worst weights are looked for\n    a number above 0" in text
    assert "adamw" not in text


def test_an_option_that_is_made_from_another_has_its_comments(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "data=espeak_hard")
    assert "data.context=10  # frames each side of the classified one; 0 to 50" in text
    assert "data.snr_db=[5, 30]  # speech over coloured noise" in text


def test_a_key_of_a_group_says_which_options_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "optim.momentum")
    assert "of optimizer=momentum" in text and "from 0 below 1" in text and "rmsprop" in text


def test_keys_and_nodes_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "epochs", "study", "wandb.mode")
    assert "epochs=3  # passes over the training split\n    a whole number from 1 to 1000000" in text
    assert "study.seeds=null  # repeat every arm" in text
    assert "study.design=grid" in text and "    grid, ofat, path, fraction or zip" in text
    assert "    auto, online, offline or disabled" in text


def test_files_that_set_what_they_like_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "experiment").startswith("experiment=quick  A run of seconds")
    assert "factors:\n  arch: [cylinder, pyramid," in said(capsys, "study=shapes")


def test_a_folder_of_ones_own_is_known(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, text in (
        ("conf/preset/small.yaml", "# @package _global_\n# Small.\nepochs: 1\n"),
        ("other/arch/tiny.yaml", "# Tiny.\ndefaults: [cylinder]\nwidth: 8  # units\n"),
    ):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    assert said(capsys, "preset") == "preset=small  Small.\n"
    text = said(capsys, "arch=tiny", "--config-dir", "other")
    assert text.startswith("arch=tiny: Tiny.\n") and "arch.width=8  # units" in text


def test_every_group_and_key_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    listed = said(capsys)
    keys = listed.splitlines()[-1].removeprefix("keys: ").split(", ")
    text = said(capsys, *GROUPS, *keys)
    assert all(f"{name}" in text for name in (*GROUPS, *keys)) and text.count("\n    ") > 60


@pytest.mark.parametrize(
    ("topic", "hint"),
    [
        ("optimzer", "optimzer: no group and no key; did you mean optimizer?"),
        ("optim.lrr", "optimizer.lrr: no option of optimizer has it; did you mean optimizer.lr?"),
        ("scheduler=cosine_annealing", "scheduler=cosine_annealing: no such option; did you mean cosine?"),
        ("study=shap", "study=shap: no such option; did you mean shapes?"),
        ("experimnt", "experimnt: no group and no key; did you mean experiment?"),
        ("study.sede", "study.sede: no group and no key; "),
    ],
)
def test_what_there_is_not_is_refused(topic: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert hint in said(capsys, topic, code=2)
