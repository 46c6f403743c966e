"""What is planned is what is trained, whatever Hydra was told; and one command leaves nothing for the next."""

import gc
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ablate.command.diagnosis import mistakes
from ablate.config.compose import Composer, resolve
from ablate.error import UserError
from ablate.multirun.cells import ask
from ablate.recipe.data.hw1p2 import HW1P2
from ablate.run import command
from tests.recipe.data.hw1p2_folder import write

SMALL = ["data=espeak_tiny", "data.context=2", "arch.width=16", "epochs=1", "wandb.mode=disabled", "threads=1"]


@pytest.fixture
def folder(tmp_path: Path, corpus_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to give commands in, with the tiny corpus in its cache."""
    for name in list(os.environ):
        if name.startswith(("WANDB", "HYDRA", "ABLATE")):
            monkeypatch.delenv(name)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/cache").symlink_to(corpus_cache)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def option(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def plan(study: str = "s") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path("outputs/studies", study, "plan.json").read_text())
    return content


def arms() -> list[str]:
    return [cell["arm"] for cell in plan()["cells"]]


def configs() -> dict[str, dict[str, Any]]:
    return {file.parent.name: yaml.safe_load(file.read_text()) for file in Path("outputs/runs").glob("*/config.yaml")}


def assert_all_planned_is_trained(study: str = "s") -> None:
    cells = plan(study)["cells"]
    assert {cell["status"] for cell in cells} == {"finished"}
    assert {cell["key"] for cell in cells} == set(configs())


MISTAKES: list[tuple[list[str], str]] = [
    (["optim.lr=1e-3,0"], "optimizer.lr=0: optimizer.lr: expected greater than 0, found 0"),
    (["arch.depth=2,0", "regularization=dropout"], "arch.depth=0: arch.dropout=0.25: expected at least 1"),
    (["arch=cylinder,foo"], "arch=foo: no such option"),
    (["seed=0,1"], "seed: can't be swept; a seed is no factor but repeats every arm: study.seeds=3"),
    (["study.seeds=1,2"], "study.seeds: can't be swept; a list of seeds stands in brackets: 'study.seeds=[1,2]'"),
    (["study.name=a,b"], "study.name: can't be swept; settings of the whole study"),
    (["team.member=1,2"], "team.member: can't be swept; the same for the whole study"),
    (["wandb.mode=offline,online"], "wandb.mode: can't be swept"),
    (["device=cpu,cuda"], "device: can't be swept, since it can't change a result"),
    (["optim.betas=[0.9,0.99],[0.8,0.9]", "optim.betas.0=0.5"], "optimizer.betas.0: is a part of optimizer.betas"),
    (["arch=cylinder,custom", "arch.dept=range(0,900)"], "arch.dept: unknown key; did you mean arch.depth?"),
    (["optim.lr=interval(0,1)"], "expected a list, range, choice or glob"),
    (["arch=glob(x*)"], "matches nothing"),
    (["optim=sgd,adamw", "study.design=fraction", "arch=cylinder,pyramid,diamond"], "expected two levels of each"),
    (["optim=sgd,adamw", "study.exclude=['arch=diamond']"], "study.exclude: 'arch=diamond' matches no arm"),
    (["optim=sgd,adamw", "team.size=2"], "team.member: missing; give your number, from 1 to team.size=2"),
    (["optim=sgd,adamw", "team.size=2", "team.member=3"], "team.member=3: expected a number up to team.size=2"),
    (["optim=sgd,adamw", "study.seeds=[1,1]"], "study.seeds: expected each seed once"),
    (["optim=sgd,adamw", "study.name=a/b"], "study.name: expected the name of a folder"),
    (["optim=sgd,adamw", "output_dir='o/${study.name}'", "study.name=s"], "output_dir: o/s for the study and o/None f"),
    (["optim=sgd,adamw", "output_dir='o/${optimizer.lr}'"], "adamw: output_dir: o/0.1 for the study and o/0.001"),
    (["optim=sgd,adamw", "output_dir='o/${seed}'", "study.seeds=2"], "output_dir: o/0 for the study and o/1 for a run"),
    (["optim=sgd,adamw", "team.claims='c${seed}'", "study.seeds=2"], "team.claims: c0 for the study and c1 for a run"),
    (["arch=shuffle(cylinder,pyramid)"], "every member would have another order; leave the shuffle out"),
    (["study=shapes", "study.factors.arch=[cylinder]"], "study.factors.arch: is for a study's file"),
    (["study=no_such"], "study=no_such: no such option; expected one of claim_activation, "),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES)
def test_a_mistake_anywhere_stops_all_before_the_first_run(
    arguments: list[str], expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "c0").mkdir()  # of claims
    code = command(["--multirun", "data=espeak_tiny", *arguments])
    said = capsys.readouterr().err
    assert code == 2 and expected in said and len(said.splitlines()) == 1, said
    assert not (folder / "outputs" / "runs").exists() and not (folder / "outputs" / "studies").exists()


def test_data_that_are_refused_are_looked_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def refused(self: HW1P2, cache: Path, track: object) -> str:
        asked.append(self)
        raise ValueError("no such data")

    monkeypatch.setattr(HW1P2, "fingerprint", refused)
    root = write(folder / "root", lengths={"1-a": 20}, num_mfcc=13)
    assert command(["-m", "data=hw1p2", f"data.root={root}", "arch.depth=1,2,3", "study.seeds=2"]) == 2
    assert len(asked) == 1 and capsys.readouterr().err.count("no such data") == 1


@pytest.mark.parametrize("flag", [["--multirun"], ["hydra.mode=MULTIRUN"]])
def test_folders_of_ones_own_hold_for_every_run(flag: list[str], folder: Path) -> None:
    option(folder / "my/optimizer/mine.yaml", "defaults: [adamw]\nlr: 0.002\n")
    option(folder / "other/optimizer/theirs.yaml", "defaults: [sgd]\nlr: 0.003\n")
    own = ["--config-dir", "my", "hydra.searchpath=[other]"]
    assert command([*SMALL, *own, "optim=mine"]) == 0
    assert command([*SMALL, "optim=mine,theirs", *flag, *own, "study.name=s"]) == 0
    assert_all_planned_is_trained()
    assert sorted(config["optimizer"]["lr"] for config in configs().values()) == [0.002, 0.003]


def test_an_option_of_ones_own_replaces_ours_from_any_folder(folder: Path) -> None:
    option(
        folder / "my/optimizer/adamw.yaml",
        "_target_: ablate.recipe.optimizer.sgd\nlr: 1\nweight_decay: 0\ndecay_all: false\n",
    )
    for own in (["--config-dir", "my"], [f"hydra.searchpath=[file://{folder}/my]"]):
        assert command([*SMALL, *own, "study.name=s", "-m", "arch=cylinder,pyramid", "study.dry_run=true"]) == 0
        before = plan()["plan_id"]
        assert command([*SMALL, "study.name=s", "-m", "arch=cylinder,pyramid", "study.dry_run=true"]) == 0
        assert plan()["plan_id"] != before


def test_a_primary_config_of_ones_own(folder: Path) -> None:
    option(folder / "conf/mine.yaml", "defaults: [config, _self_]\nbatch_size: 256\nhydra: {mode: MULTIRUN}\n")
    assert command([*SMALL, "--config-name", "mine", "arch=cylinder,pyramid", "study.name=s"]) == 0
    assert_all_planned_is_trained()
    assert {config["batch_size"] for config in configs().values()} == {256}


@pytest.mark.parametrize("sign", ["", "+"])
def test_experiments_are_levels(sign: str, folder: Path) -> None:
    option(
        folder / "conf/experiment/a.yaml",
        "# @package _global_\ndefaults: [override /optimizer: sgd]\nbatch_size: 256\n",
    )
    option(folder / "conf/experiment/b.yaml", "# @package _global_\narch: {depth: 1}\n")
    assert command([*SMALL, "-m", f"{sign}experiment=a,b", "study.name=s"]) == 0
    assert arms() == ["experiment=a", "experiment=b"]
    assert_all_planned_is_trained()
    found = sorted((config["batch_size"], config["arch"]["depth"]) for config in configs().values())
    assert found == [(256, 2), (1024, 1)]
    assert command([*SMALL, f"{sign}experiment=a"]) == 0, "a run alone is that of the study"
    assert len(configs()) == 2


@pytest.mark.parametrize("levels", ["plain,studied", "studied,plain"])
def test_a_level_that_sets_something_of_the_study_is_refused(
    levels: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option(folder / "conf/experiment/plain.yaml", "# @package _global_\nepochs: 2\n")
    option(folder / "conf/experiment/studied.yaml", "# @package _global_\nstudy: {seeds: [1, 2]}\n")
    assert command(["-m", *SMALL, f"experiment={levels}", "study.dry_run=true"]) == 2
    assert "study.seeds: set by one level and not by another, but it is the same" in capsys.readouterr().err


def test_no_experiment_is_a_level_too(folder: Path) -> None:
    option(folder / "conf/experiment/b.yaml", "# @package _global_\narch: {depth: 1}\n")
    assert command([*SMALL, "-m", "experiment=null,b", "study.name=s"]) == 0
    assert arms() == ["experiment=null", "experiment=b"]
    assert_all_planned_is_trained()
    assert command([*SMALL]) == 0, "a run alone is that of the study"
    assert len(configs()) == 2


def test_levels_of_a_group_of_ones_own_keep_their_sign(folder: Path) -> None:
    for name, size in (("small", 256), ("large", 512)):
        option(folder / f"conf/preset/{name}.yaml", f"# @package _global_\nbatch_size: {size}\n")
    assert command([*SMALL, "-m", "+preset=small,large", "study.name=s"]) == 0
    assert arms() == ["preset=small", "preset=large"]
    assert_all_planned_is_trained()
    assert [cell["overrides"][-2] for cell in plan()["cells"]] == ["+preset=small", "+preset=large"]


def test_keys_that_only_the_levels_have_beside_any_flag(folder: Path) -> None:
    (folder / "my").mkdir()
    swept = [*SMALL, "optim=momentum,nesterov", "optim.momentum=0.8", "study.dry_run=true", "study.name=s"]
    ids = set()
    for flags in (["-m"], ["-m", "--config-dir", "my"], ["hydra.mode=MULTIRUN"], ["hydra.verbose=false", "-m"]):
        assert command([*swept, *flags]) == 0
        ids.add(plan()["plan_id"])
    assert len(ids) == 1


def test_hydras_own_folder_of_a_sweep(folder: Path) -> None:
    assert command([*SMALL, "-m", "optim=sgd,adamw", "hydra.sweep.dir=its/own", "study.name=s"]) == 0
    assert (folder / "its/own").is_dir()
    assert_all_planned_is_trained()


def test_an_arm_may_be_called_by_an_interpolation() -> None:
    with Composer() as composer:
        asked = ask(composer, ["data=espeak_tiny", "optimizer.lr=0.1,'${.weight_decay}'"])
        (_, second) = asked.cells
        config = resolve(composer.compose(second.job))
    assert config["study"]["arm"] == second.arm == "optimizer.lr='${.weight_decay}'"
    assert config["optimizer"]["lr"] == config["optimizer"]["weight_decay"]


def test_mistakes_of_many_arms_together_are_looked_for_in_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sgd_cylinder", "sgd_pyramid", "adamw_cylinder"):
        option(tmp_path / "mine" / f"{name}.yaml", "# @package _global_\nepochs: 1\n")
    option(tmp_path / "prim.yaml", "defaults: [config, {mine: '${optimizer}_${arch}'}, _self_]\n")
    looked = list[Sequence[str]]()

    def counted(composer: Composer, overrides: Sequence[str], *, multirun: bool) -> list[str]:
        looked.append(overrides)
        return mistakes(composer, overrides, multirun=multirun)

    monkeypatch.setattr("ablate.multirun.cells.mistakes", counted)
    with Composer("prim", [str(tmp_path)]) as composer, pytest.raises(UserError, match="mine/adamw_pyramid") as found:
        ask(composer, ["optimizer=sgd,adamw", "arch=cylinder,pyramid", "arch.depth=range(1,31)"])
    assert len(str(found.value).splitlines()) == 1 and len(looked) == 4


def test_levels_of_a_range_are_those_of_the_list(folder: Path) -> None:
    keys = []
    for levels in ("range(0.1,0.4,0.1)", "0.1,0.2,0.3,0.4"):
        assert command([*SMALL, "-m", f"data.fraction={levels}", "study.dry_run=true", "study.name=s"]) == 0
        assert arms() == [f"data.fraction={level}" for level in ("0.1", "0.2", "0.3", "0.4")]
        keys.append([cell["key"] for cell in plan()["cells"]])
    assert keys[0] == keys[1]
    assert command([*SMALL, "-m", "arch.depth=range(2,5)", "study.dry_run=true", "study.name=s"]) == 0
    assert arms() == ["arch.depth=2", "arch.depth=3", "arch.depth=4"]
    assert command([*SMALL, "-m", "optim.lr=range(0.5,0.2,-0.1)", "study.dry_run=true", "study.name=s"]) == 0
    assert arms()[:3] == ["optimizer.lr=0.5", "optimizer.lr=0.4", "optimizer.lr=0.3"]


@pytest.mark.parametrize("objective", ["val/accuracy", "val/loss"])
def test_another_sweeper_gets_the_whole_line_and_each_objective(
    objective: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["-m", "hydra/sweeper=basic", *SMALL, "arch=pyramid,cylinder", "optim.lr=0.01", f"objective={objective}"]
    assert command(line) == 0
    assert sorted(config["epochs"] for config in configs().values()) == [1, 1]
    assert {config["optimizer"]["lr"] for config in configs().values()} == {0.01}
    results = [json.loads(file.read_text()) for file in Path("outputs/runs").glob("*/result.json")]
    printed = capsys.readouterr().out
    assert all(f"{objective} {result['metrics'][objective]:.4f}" in printed for result in results)
    assert not (folder / "outputs/studies").exists()


def test_a_sweeper_that_asks_for_a_number_is_given_one(folder: Path) -> None:
    """As Optuna's: it takes the task's value for its trial."""
    from omegaconf import DictConfig

    from ablate.config.compose import Composer
    from ablate.training.run import objective

    found: list[float] = []

    def task(composed: DictConfig) -> float:
        found.append(objective(composed))
        return found[-1]

    with Composer() as composer:
        for overrides in ([], ["objective=val/loss"]):
            composer.run(composer.whole([*SMALL, *overrides]), task)
    result = json.loads(next(Path("outputs/runs").glob("*/result.json")).read_text())
    assert found == [result["metrics"]["val/accuracy"], result["metrics"]["val/loss"]]
    diverging = ["optimizer=sgd", "optimizer.lr=1e30", "arch.norm=none", "arch.activation=relu"]
    with Composer() as composer:
        for overrides in ([], ["objective=val/loss"]):
            composer.run(composer.whole([*SMALL, *diverging, *overrides]), task)
    assert found[2:] == [0.0, float("inf")]


def test_what_one_composition_sets_no_other_has(folder: Path) -> None:
    """Hydra merges into the files it has read: a level's settings must not stay for the next."""
    option(folder / "conf/experiment/a.yaml", "# @package _global_\nwandb: {project: pa, tags: [only]}\nepochs: 2\n")
    option(folder / "conf/experiment/b.yaml", "# @package _global_\narch: {depth: 1}\n")
    assert command([*[each for each in SMALL if "epochs" not in each], "-m", "experiment=a,b", "study.name=s"]) == 0
    found = {config["arch"]["depth"]: config for config in configs().values()}
    assert found[2]["wandb"]["project"] == "pa" and found[2]["epochs"] == 2
    assert found[1]["wandb"]["project"] is None and found[1]["wandb"]["tags"] == [] and found[1]["epochs"] == 3
    option(folder / "conf/mine.yaml", "defaults: [_self_, config]\noptimizer: {weight_decay: 0.5}\n")
    assert command([*SMALL, "--config-name", "mine", "-m", "optim=adamw,sgd", "study.dry_run=true"]) == 0
    assert command([*SMALL, "-m", "optim=sgd,adam", "study.name=2024_11_05", "study.dry_run=true"]) == 0
    assert Path("outputs/studies/2024_11_05/plan.json").exists()


def test_a_run_is_called_by_all_that_is_not_default(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command([*SMALL, "batch_size=512", "precision=bf16", "optim.lr=0.01"]) == 0
    told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("run "))
    assert all(f" {each}" in told for each in ("batch_size=512", "precision=bf16", "optimizer.lr=0.01", "epochs=1"))


@pytest.mark.parametrize("mode", ["hydra.mode=RUN", "hydra.mode=null", "hydra.run.dir=models"])
def test_a_run_is_no_study_whatever_is_said_of_modes(mode: str, folder: Path) -> None:
    assert command([*SMALL, mode]) == 0
    assert len(configs()) == 1 and not Path("outputs/studies").exists()
    assert command([*SMALL, "--multirun", "hydra.mode=RUN", "optim=sgd,adamw"]) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            ["-m", "optim=sgd,adam", "+hydra.job.env_set.W=32"],
            "hydra.job.env_set: a plan is made before a run could set",
        ),
        (["-m", "optim=sgd,adam", "wandb.mode=online"], "wandb.mode=online: no API key"),
        (["-m", "hydra/sweeper=basic", "optim.lr=0.1,foo"], "optimizer.lr: expected a valid number, found 'foo'"),
        (["-m", "hydra/sweeper=basic", "optim=sgd,adamm"], "optimizer=adamm: no such option; did you mean adam?"),
        (
            ["-m", "hydra/sweeper=basic", "experiment=quick,chd"],
            "experiment/chd.yaml: it sets hydra, which could run code",
        ),
        (["-m", "hydra/sweeper=basic", "plot=scheduler", "optim=sgd,adam"], "plot: only ablate's own multirun has it"),
        (
            ["-m", "experiment=swept", "optim=sgd,adam"],
            "experiment/swept.yaml: override /hydra/sweeper: basic: not heeded",
        ),
        (["study=glob", "experiment=quick"], "study=glob: its file sets epochs"),
        (["--config-name", "lost"], "lost: provider=hydra.searchpath in main, path=nonexistent is not available."),
        (["+hydra.foo=1"], "hydra.foo: unknown key"),
        (["+hydra.job.foo=1"], "hydra.job.foo: unknown key"),
    ],
)
def test_what_can_not_be_kept_is_refused_before_anything_trains(
    line: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option(folder / "conf/experiment/chd.yaml", "# @package _global_\nhydra: {job: {chdir: true}}\n")
    swept = "# @package _global_\ndefaults: [{override /hydra/sweeper: basic}]\n"
    option(folder / "conf/experiment/swept.yaml", swept)
    option(folder / "conf/lost.yaml", "defaults: [config, _self_]\nhydra: {searchpath: [nonexistent]}\n")
    text = "# @package _global_\nepochs: 2\nstudy: {name: g, factors: {arch: [cylinder, pyramid]}}\n"
    option(folder / "conf/study/glob.yaml", text)
    kept = [each for each in SMALL if not any(each.split("=")[0] == given.split("=")[0] for given in line)]
    assert command([*kept, *line]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and "Traceback" not in printed.err, printed.err
    assert not configs()


# --- two commands in one process are two commands ---


def test_a_second_multirun_is_its_own(folder: Path) -> None:
    for number, optimizers in enumerate(("sgd,adamw", "adam,nadam")):
        line = ["--config-dir", ".", "-m", *SMALL, f"optim={optimizers}", f"study.name=s{number}", "study.dry_run=true"]
        assert command(line) == 0
    assert [cell["arm"] for cell in plan("s1")["cells"]] == ["optimizer=adam", "optimizer=nadam"]
    assert [cell["arm"] for cell in plan("s0")["cells"]] == ["optimizer=sgd", "optimizer=adamw"]


def test_data_and_configs_that_change_between_commands_change_keys(tmp_path: Path, folder: Path) -> None:
    root = write(tmp_path / "root", lengths={"1-a": 200, "2-b": 200}, num_mfcc=13)
    (folder / "outputs/cache").unlink()
    option(folder / "conf/optimizer/mine.yaml", "defaults: [sgd]\nlr: 0.1\n")
    line = ["data=hw1p2", "data.root=root", "batch_size=32", "epochs=1", "arch.width=8", "wandb.mode=disabled",
            "-m", "optim=mine,adamw", "study.name=s", "study.dry_run=true"]  # fmt: skip
    assert command(line) == 0
    first = [cell["key"] for cell in plan()["cells"]]
    option(folder / "conf/optimizer/mine.yaml", "defaults: [sgd]\nlr: 0.2\n")
    assert command(line) == 0
    second = [cell["key"] for cell in plan()["cells"]]
    assert second[0] != first[0] and second[1] == first[1]
    for split in ("train-clean-100", "dev-clean"):
        for file in (root / split / "mfcc").iterdir():
            np.save(file, np.load(file)[:, :12])  # fewer coefficients, in the same folders
    assert command(line) == 0
    third = [cell["key"] for cell in plan()["cells"]]
    assert not set(third) & {*first, *second}
    assert command([*line[:-1], "rerun=false"]) == 0
    assert_all_planned_is_trained()


def test_what_a_command_sets_for_its_process_is_as_before(folder: Path) -> None:
    def state() -> list[Any]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return [handlers, dict(os.environ), list(sys.argv), Path.cwd(), gc.get_threshold()]

    thresholds = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # which a command raises
    before = state()
    offline = [each for each in SMALL if "wandb" not in each]
    lines = [[*offline], ["-m", *offline, "optim=sgd,adam"], ["optim=foo"], ["--help"], ["--cfg", "job"]]
    assert [command(line) for line in lines] == [0, 0, 2, 0, 0]
    after = state()
    gc.set_threshold(*thresholds)
    assert after == before
