"""Options of a folder that travels: they set what an option may, and run nothing."""

from pathlib import Path

import pytest

from ablate.config.check import check_settings
from ablate.config.compose import Composer, compose, resolve
from ablate.error import UserError

GLOBAL = "# @package _global_\n"
CALLBACK = "hydra: {callbacks: {e: {_target_: os.mkdir, path: made}}}\n"
LOGGING = "version: 1\nhandlers: {e: {(): os.mkdir, path: made}}\nroot: {handlers: [e]}\n"
BOMB = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"a{number}: &a{number} [{','.join([f'*a{number - 1}'] * 10)}]\n" for number in range(1, 10)
)


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own `conf/` in the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "conf"


def option(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("arch", GLOBAL + CALLBACK, "it sets hydra, which could run code"),
        ("arch", GLOBAL + "defaults: [/arch/cylinder@arch, /of/callbacks]\n" + CALLBACK, "it sets hydra"),
        ("arch", "# @package hydra.callbacks\ne: {_target_: os.mkdir}\n", "it sets hydra.callbacks, which"),
        ("arch", "# @package _global_.hydra\ncallbacks: {e: {_target_: os.mkdir}}\n", "it sets hydra, which"),
        ("arch", "defaults: [cylinder, /of/settings@_global_.hydra.callbacks]\n", "it sets hydra.callbacks, which"),
        ("arch", "defaults: [cylinder, /of/callbacks]\n", "of/callbacks.yaml: it sets hydra.callbacks, which"),
        ("experiment", GLOBAL + CALLBACK, "experiment/mine.yaml: it sets hydra, which could run code"),
        ("experiment", GLOBAL + "hydra: {job: {chdir: true}}\n", "it sets hydra, which"),
        ("experiment", GLOBAL + "defaults: [override /hydra/job_logging: stdout]\n", "override /hydra/job_logging"),
        ("experiment", GLOBAL + "defaults: [override /hydra/launcher: basic]\n", "it sets hydra.launcher, which"),
        ("study", GLOBAL + CALLBACK, "study/mine.yaml: it sets hydra, which could run code"),
        ("arch", GLOBAL + "optimizer: {lr: 0.1}\n", "sets arch alone, found that it sets optimizer too"),
        ("arch", GLOBAL + "epochs: 9\n", "sets arch alone, found that it sets epochs too"),
        ("arch", "defaults: [cylinder, /optimizer/adam@_global_.optimizer]\n", "found that it sets optimizer too"),
        ("arch", "defaults: [cylinder]\nwidth: " + "[" * 2000 + "]" * 2000, "at most 30 levels of nesting, found more"),
        ("arch", BOMB, "expected at most 100,000 values, found more, each alias counted in full"),
        ("arch", "a: 1\n" * 300_000, "expected a config file of at most 1,048,576 bytes, found 1,500,000"),
    ],
)
def test_an_option_that_reaches_further_is_refused(path: str, text: str, said: str, conf: Path) -> None:
    option(conf / path / "mine.yaml", text)
    option(conf / "of/callbacks.yaml", "# @package hydra.callbacks\ne: {_target_: os.mkdir, path: made}\n")
    option(conf / "of/settings.yaml", "e: {_target_: os.mkdir, path: made}\n")
    with Composer() as composer, pytest.raises(UserError) as refused:
        composer.whole([f"{path}=mine"])
    assert said in str(refused.value) and "\n" not in str(refused.value), refused.value


def test_what_an_option_may_set_is_set(conf: Path) -> None:
    option(conf / "arch/narrow.yaml", "defaults: [cylinder, _self_]\nwidth: 16\n")
    option(conf / "arch/at_top.yaml", GLOBAL + "defaults: [/arch/cylinder@arch, _self_]\narch: {width: 17}\n")
    text = "defaults: [override /arch: narrow, override /optimizer: sgd]\nepochs: 2\narch: {depth: 3}\n"
    option(conf / "experiment/mine.yaml", GLOBAL + text)
    option(conf / "preset/ours.yaml", GLOBAL + "batch_size: 64\nscheduler: {warmup: 0.2}\n")
    with Composer() as composer:
        composed = composer.whole(["experiment=mine"])
        assert (composed.arch.width, composed.arch.depth, composed.epochs) == (16, 3, 2)
        assert composed.optimizer["_target_"].endswith(".sgd")
        assert composer.whole(["arch=at_top"]).arch.width == 17
        composed = composer.whole(["+preset=ours"])
        assert (composed.batch_size, composed.scheduler.warmup) == (64, 0.2)


def test_a_folders_own_hydra_is_not_read(conf: Path) -> None:
    option(conf / "arch/narrow.yaml", "defaults: [cylinder, _self_]\nwidth: 16\n")
    option(conf / "hydra/hydra_logging/ablate.yaml", LOGGING)
    option(conf / "hydra/launcher/mine.yaml", "_target_: os.mkdir\npath: made\n")
    for folders in ([], ["conf"]):
        with Composer(None, folders) as composer:
            assert "os.mkdir" not in str(composer.whole(["arch=narrow"]).hydra.hydra_logging)
            assert "mine" not in composer.options("hydra/launcher")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr: !!float abc\n", "could not convert string to float: 'abc'"),
        ("lr: !!int abc\n", "invalid literal for int() with base 10: 'abc'"),
        ("null: 4\n", "Incompatible key type 'NoneType'"),
        ("lr: ${\n", "no viable alternative at input '${'"),
        ("defaults: 3\n", "defaults must be a list"),
        ("defaults: [{override /optimizer: 1.5}]\n", "Unsupported item value in defaults : float"),
    ],
)
def test_a_value_that_can_not_be_read_is_told_with_its_file(text: str, said: str, conf: Path) -> None:
    option(conf / "optimizer/mine.yaml", text)
    with Composer() as composer, pytest.raises(UserError) as refused:
        composer.whole(["optimizer=mine"])
    told = str(refused.value)
    assert told.startswith(f"{conf}/optimizer/mine.yaml: a value in it can't be read: ") and said in told
    assert "\n" not in told


def test_an_option_without_a_target_is_told_how_it_begins(conf: Path) -> None:
    option(conf / "optimizer/adamw.yaml", "lr: 2e-3\n")
    with pytest.raises(UserError, match=r"found None; an option of your own has another name"):
        check_settings(resolve(compose([])))


def test_a_number_without_end_is_refused_whatever_its_tag(conf: Path) -> None:
    option(conf / "optimizer/mine.yaml", f"lr: !!int '{'1' * 5000}'\n")
    with Composer() as composer, pytest.raises(UserError, match="expected numbers of fewer than 1,000 digits"):
        composer.whole(["optimizer=mine"])


def test_a_link_to_nothing_is_no_reason_to_take_ours(conf: Path) -> None:
    (conf / "optimizer").mkdir(parents=True)
    (conf / "optimizer/adamw.yaml").symlink_to("nowhere.yaml")
    with Composer() as composer, pytest.raises(UserError, match=r"optimizer/adamw.yaml: a link to nowhere.yaml, which"):
        composer.whole([])


@pytest.mark.parametrize("launcher", ["joblib", "basic"])
def test_a_launcher_is_taken_beside_a_folder_too(launcher: str, conf: Path) -> None:
    option(conf / "arch/mine.yaml", "defaults: [cylinder]\n")
    option(conf / f"hydra/launcher/{launcher}.yaml", "_target_: os.mkdir\n")
    with Composer() as composer:
        composed = composer.whole([f"hydra/launcher={launcher}", "arch=mine"])
    assert "Launcher" in composed.hydra.launcher._target_


def test_a_primary_config_is_its_users_own_word_only_where_they_name_it(conf: Path) -> None:
    option(conf / "mine.yaml", "defaults: [config, _self_]\nhydra: {verbose: true}\n")
    with Composer("mine") as composer:
        assert composer.whole([]).hydra.verbose is True
    with Composer("mine", trusts_primary=False) as composer, pytest.raises(UserError, match="it sets hydra"):
        composer.whole([])


def test_defaults_lists_that_double_at_each_step_are_refused_at_once(conf: Path) -> None:
    for step in range(40):
        option(conf / f"misc/d{step}.yaml", f"defaults: [d{step + 1}@a, d{step + 1}@b]\n")
    option(conf / "misc/d40.yaml", "z: 1\n")
    with Composer() as composer:
        for _ in range(2):  # what is remembered of a file is no way around
            with pytest.raises(UserError, match="expected a defaults list of at most 1,000 files, found more"):
                composer.whole(["+misc=d0"])
