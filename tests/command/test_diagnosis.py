"""What is said to a user who slips: one line each, all at once, with the right spelling."""

import os
from pathlib import Path

import pytest

from ablate.run import command


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("WANDB", "HYDRA", "ABLATE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "disabled")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert command([*arguments]) == 2, capsys.readouterr()
    assert not Path("outputs/runs").exists() and not Path("outputs/studies").exists()
    return capsys.readouterr().err.removeprefix("ablate: ").splitlines()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["arch.depth", "=", "3"], "arch.depth = 3: no spaces around =; write arch.depth=3"),
        (["arch.depth=", "3"], "arch.depth= 3: no spaces around =; write arch.depth=3"),
        (["arch.depth", "=3"], "arch.depth =3: no spaces around =; write arch.depth=3"),
        (["optim", "=", "sgd", "epochs=1"], "optim = sgd: no spaces around =; write optim=sgd"),
        (["arch.depth = 3"], "arch.depth = 3: no spaces around =; write arch.depth=3"),
        (["--multirun=false"], "--multirun=false: --multirun takes no value; leave =false out"),
        (["arch=pyramid.yaml"], "arch=pyramid.yaml: an option goes by its name; write arch=pyramid"),
        (["optim=ADAMW"], "optimizer=ADAMW: no such option; did you mean adamw?"),
        (["--epochs", "5"], "--epochs 5: keys have no hyphens before them; write epochs=5"),
        (["--optim.lr", "0.1", "epochs=1"], "--optim.lr 0.1: keys have no hyphens before them; write optim.lr=0.1"),
        (["-m", "optim.lr=1e-3,", "1e-2"], "optim.lr=1e-3, 1e-2: no space beside a comma; write optim.lr=1e-3,1e-2"),
        (["-m", "arch=pyramid", ",diamond"], "arch=pyramid ,diamond: no space beside a comma; write arch=pyramid,"),
        (
            ["arch=custom", "arch.widths=[512,", "256]"],
            "arch.widths=[512, 256]: what has spaces in it stands in quotes; write 'arch.widths=[512,256]'",
        ),
        (
            ["data.utterances={train:", "20,", "val:", "4}"],
            "data.utterances={train: 20, val: 4}: what has spaces in it stands in quotes; write "
            "'data.utterances={train: 20, val: 4}'",
        ),
        (
            ["-m", "arch.depth=range(2,", "6)"],
            "arch.depth=range(2, 6): what has spaces in it stands in quotes; write 'arch.depth=range(2,6)'",
        ),
        (["optim=sgd,adam"], "optimizer=sgd,adam: expected one option; to compare them add --multirun"),
        (
            ["arch.depth=2,3"],
            "arch.depth=2,3: several levels are a study: add --multirun; a list is 'arch.depth=[2,3]', a text "
            "'arch.depth=\"2,3\"'",
        ),
        (["optim.lr=choice(1,2)"], "optimizer.lr=choice(1,2): several levels are a study: add --multirun"),
        (
            ["regularization=dropout,l1"],
            "regularization=dropout,l1: expected one option; to compare them add --multirun; together in one run they "
            "are regularization=dropout regularization.l1=1e-06",
        ),
        (
            ["-m", "optim.lr=[1e-3,1e-2]"],
            "optimizer.lr: expected a valid number, found [0.001, 0.01]; several levels are a study, and stand without "
            "brackets: --multirun optimizer.lr=0.001,0.01",
        ),
        (
            ["-m", "optim=sgd,adam", "study.question=Which, and why?"],
            "study.question: can't be swept; settings of the whole study: give one value; a text with a comma stands "
            "in quotes: 'study.question=\"Which, and why?\"'",
        ),
        (
            ["wandb.notes=my", "long", "note"],
            "wandb.notes=my long note: what has spaces in it stands in quotes; write 'wandb.notes=\"my long note\"'",
        ),
        (["optim.lr:0.1"], "optimizer.lr:0.1: = stands between key and value; write optimizer.lr=0.1"),
        (["optim.lr==0.1"], "optimizer.lr==0.1: one = is enough; write optimizer.lr=0.1"),
        (["seed=1", "runn"], "runn: expected key=value; `ablate --help` lists the keys, `ablate` alone the commands"),
        (["--package", "optim", "seed=1"], "--package: says what --cfg shows; give it with --cfg job"),
        (["optim=sgdm"], "optimizer=sgdm: no such option; did you mean momentum?"),
        (["optim.lr=${oc.env:NOPE}"], "optimizer.lr: \"Environment variable 'NOPE' not found\""),
        (["+loss={gamma: 2}"], "loss: no run has such a node; an option of a group of your own begins with"),
        (
            ["-m", "study.seeds=5000", "arch=cylinder,pyramid"],
            "study.seeds: expected less than or equal to 1000, found",
        ),
        (["optim=\x1b[31mred"], "optimizer=\\x1b[31mred: "),
        (["learning_rate=0.1"], "learning_rate: unknown key; did you mean optimizer.lr?"),
        (["optim.learning_rate=0.1"], "optimizer.learning_rate: unknown key; did you mean optimizer.lr?"),
        (["--lr", "0.1"], "lr: unknown key; did you mean optimizer.lr?"),
        (["--num-layers", "3"], "num_layers: unknown key; did you mean arch.depth?"),
        (["--seed", "-1"], "--seed -1: keys have no hyphens before them; write seed=-1"),
        (["--rerun"], "--rerun: keys have no hyphens before them; write rerun=true"),
        (["--mutlirun", "seed=1"], "--mutlirun: unknown flag; did you mean --multirun?"),
        (["+arch=pyramid"], "+arch=pyramid: every run has its arch; write arch=pyramid"),
        (["arch@x=pyramid"], "arch@x=pyramid: a group has its own place; write arch=pyramid"),
        (
            ["-m", "arch=cylinder,pyramid", "study.exclude=arch=pyramid"],
            "study.exclude=arch=pyramid: can't be read as key=value; arms to leave out stand in a list: "
            "'study.exclude=[\"arch=pyramid\"]'",
        ),
        (["-m", "study.seeds=0", "arch=cylinder,pyramid"], "study.seeds: expected greater than or equal to 1, found 0"),
        (["study.name=a/b", "epochs=1"], "study.name: expected the name of a folder: no / and"),
        (["-sc", "foo"], "--shell-completion: expected one of install=, uninstall=, query="),
        (["--cfg", "job", "-p", "nope"], "--package nope: no such part of the config"),
        (["hydra/launcher=basic,joblib"], "hydra/launcher=basic,joblib: expected one value, the same for all runs"),
        (["hydra/lancher=joblib"], "hydra/lancher: no such group; did you mean hydra/launcher?"),
        (["hydra.searchpath=[pkg://nope]"], "hydra.searchpath=pkg://nope: expected a folder or a package, found"),
        (["hydra.foo=1"], "hydra.foo: unknown key; "),
        (
            ["-m", "hydra.launcher.n_jobs=2"],
            "hydra.launcher.n_jobs: unknown key of the launcher",
        ),
        (["hydra.swep.dir=x"], "hydra.swep.dir: unknown key; did you mean hydra.sweep.dir?"),
        (["hydra/sweeper=optuna"], "hydra/sweeper=optuna: not installed; `pip install hydra-optuna-sweeper`"),
        (["augmentation=specaugment"], "augmentation=specaugment: no such option; did you mean time_freq_mask?"),
        (["scheduler=cosine_annealing"], "scheduler=cosine_annealing: no such option; did you mean cosine?"),
        (["arch.activation=swish", "epochs=0"], "epochs: expected greater than or equal to 1, found 0"),
        (["experiment=mine"], "experiment=mine: no such option; expected one of quick"),
        (["--experimental-rerun", "x.pickle"], "--experimental-rerun: loads a pickle, which can run code"),
        (["--config-path", "x"], "--config-path: ablate needs its own configs; --config-dir adds a folder of yours"),
        (["--config-dir", "nowhere"], "--config-dir=nowhere: expected a folder, found nothing"),
        (["--config-name", "mine"], "--config-name mine: expected mine.yaml in conf/ or --config-dir, found none"),
        (["hydra.searchpath=[nowhere]"], "hydra.searchpath=nowhere: expected a folder, found nothing"),
        (["hydra.job.chdir=true"], "hydra.job.chdir=true: a run stays in the folder of its command"),
        (["-m", "hydra.job.chdir=true", "arch=pyramid,diamond"], "hydra.job.chdir=true: a run stays in the folder"),
        (["-m", "arch.depth=range(1,3,0)"], "arch.depth=range(1,3,0): expected a step other than 0"),
        (["-m", "optim.lr=range(0,1,1e-9)"], "optimizer.lr=range(0,1,1e-9): expected at most 1,000 levels, found more"),
        (["-m", "optim.lr=range(0,inf)"], "optimizer.lr=range(0,inf): expected at most 1,000 levels, found more"),
        (
            ["-m", "optim.lr=range(1,200)", "arch.depth=range(1,200)"],
            "study.design=grid: expected at most 10,000 arms, found 39,601; fewer levels, or a design",
        ),
        (
            ["-m", "arch.depth=range(1,900)", "study.seeds=100"],
            "study: expected at most 10,000 runs, found 89,900; fewer levels",
        ),
        (["-m", f"seed={','.join(map(str, range(2000)))}"], "seed: expected at most 1,000 levels, found 2,000"),
        (["epochs=" + 5000 * "9"], "epochs: expected numbers of fewer than 1,000 digits, found a longer one"),
        (["arch.widths=" + 99 * "[" + 99 * "]"], "arch.widths: expected at most 30 brackets in one another, found"),
        (["-r", "-m", "arch=pyramid"], "--run and --multirun: the one asks for a single run, the other for many"),
        (
            ["+hydra.callbacks.mine={_target_: os.system}"],
            "hydra.callbacks: ablate calls none, and mine would run code; leave it out",
        ),
        (
            ["-m", "+hydra.sweeper.params={arch: 'cylinder,pyramid'}"],
            "hydra.sweeper.params: levels stand on the command line (arch=cylinder,pyramid), or in a study's file",
        ),
        (
            ["-m", "hydra/sweeper=basic", "arch=cylinder,pyramid", "study.seeds=3", "team.size=2"],
            "study.seeds, team.size: only ablate's own multirun has it; leave it out, or hydra/sweeper=..., which",
        ),
    ],
)
def test_a_slip(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, *arguments)
    assert any(each.startswith(line) for each in found), found
    assert len(found) <= 2


def test_a_wandb_agent_is_told_how_to_give_keys(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "--optim.lr=0.01", "--epochs=3")
    assert [line.split(":")[0] for line in lines] == ["--optim.lr=0.01", "--epochs=3"]
    assert all("a wandb sweep gives keys so with ${args_no_hyphens}" in line for line in lines)


@pytest.mark.parametrize("flags", [[], ["-m"]])
def test_all_mistakes_are_told_at_once(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["optim=adam,adamx" if flags else "optim=adamx", "arch.depht=3", "epochs=0", "scheduler.warmup=2"]
    lines = said(capsys, *flags, *arguments, "--batch-size=0", "seed=1", "seed=2")
    keys = ["--batch-size=0", "seed", "optimizer=adamx", "arch.depht", "epochs", "scheduler.warmup", "batch_size"]
    assert all(any(line.startswith(f"{key}: ") for line in lines) for key in keys), lines
    assert len(lines) == len(keys)


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        (
            ["optim.lr=foo", "arch.depth=-1", "data.fraction=0", "scheduler.warmup=x"],
            ["data.fraction", "optimizer.lr", "arch.depth", "scheduler.warmup"],
        ),
        (["data=hw1p2", "data.root=nope", "arch.depth=-1"], ["data.root=nope", "arch.depth"]),
        (["precision=fp16", "device=cpu", "arch.depth=-1", "seed=x"], ["precision=fp16", "arch.depth", "seed"]),
        (
            ["-m", "optm=x", "arch.dpth=3", "study.sed=3", "hydra.foo=3"],
            ["optm", "arch.dpth", "study.sed", "hydra.foo"],
        ),
        (["-m", "seed=0,1", "optm=x", "arch.dpth=3"], ["seed", "optm", "arch.dpth"]),
        (["optim.lr=${oc.env:NOPE}", "arch.activation=swish", "seed=x"], ["optimizer.lr", "arch.activation", "seed"]),
    ],
)
def test_no_mistake_hides_another(line: list[str], keys: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, *line)
    assert all(any(each.startswith(f"{key}: ") for each in lines) for key in keys), lines


def test_a_folder_of_options_of_ones_own_is_added(capsys: pytest.CaptureFixture[str]) -> None:
    Path("conf/preset").mkdir(parents=True)
    Path("conf/preset/small.yaml").write_text("# @package _global_\nepochs: 1\n")
    assert said(capsys, "preset=small") == ["preset: a folder of options of your own is added: +preset=..."]


def test_an_option_of_a_foreign_module_is_refused_before_its_record_is_looked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It has the key of the option of that name, and can't be what that one is."""
    Path("conf/optimizer").mkdir(parents=True)
    Path("conf/optimizer/mine.yaml").write_text("_target_: mine.sgd\nlr: 0.1\nweight_decay: 0\ndecay_all: false\n")
    expected = "optimizer._target_: expected a public callable of ablate.recipe.optimizer, found 'mine.sgd'"
    assert said(capsys, "optim=mine") == [expected]
    assert said(capsys, "-m", "optim=sgd,mine") == [f"optimizer=mine: {expected}"]


def test_brackets_in_a_quoted_text_tear_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(['wandb.notes="smile :("', "arch=pyramid", "plot=scheduler"]) == 0


def test_mistakes_of_any_arm_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "-m", "arch=cylinder,pyrmid", "optim.lr=1e-3,0,-1", "arch.depth=2,x")
    assert any(line.startswith("arch=pyrmid: no such option; did you mean pyramid?") for line in lines)
    assert any("optimizer.lr: expected greater than 0, found 0" in line for line in lines)
    assert any("optimizer.lr: expected greater than 0, found -1" in line for line in lines)
    assert any("arch.depth: expected a valid integer, found 'x'" in line for line in lines)


@pytest.mark.parametrize(
    "mistakes", [["optim=foo", "arch=bar"], ["optim.lr=-1", "arch.depth=x"], ["data.context=99", "optim.lrr=1"]]
)
def test_a_mistake_is_told_without_torch_and_its_kind(mistakes: list[str]) -> None:
    import subprocess
    import sys

    code = (
        f"import sys; from ablate.run import command; command({mistakes!r}); "
        "print({'torch', 'numpy', 'scipy', 'torchaudio', 'wandb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n" and len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("other", "line"),
    [("arch.dpth=2", "arch.dpth: unknown key; did you mean arch.depth?"), ("+optimizer.lrr=3", "optimizer.lrr: ")],
)
def test_a_key_is_guessed_whatever_else_is_wrong(other: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = sorted(said(capsys, other, "optim.lrrr=4"))
    assert len(found) == 2 and found[0].startswith(line)
    assert found[1] == "optimizer.lrrr: unknown key; did you mean optimizer.lr?"


def test_a_key_of_a_chosen_launcher_is_no_second_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    launcher = ["-m", "optim=sgd,adamw", "hydra/launcher=processes", "hydra.launcher.n_jobs=2"]
    (line,) = said(capsys, *launcher, "optim.lrr=2")
    assert line.startswith("optimizer.lrr: unknown key")
