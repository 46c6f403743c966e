"""Every node is checked before anything is called."""

import copy
from pathlib import Path

import pytest

from ablate.config.check import check, check_settings, instantiate
from ablate.config.compose import compose, resolve
from ablate.config.spelling import guess, nearest
from ablate.error import UserError
from tests.trainings import checked


def refused(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        check(checked(overrides))
    text = str(caught.value)
    assert len(text.splitlines()) <= 5
    return text


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["optimizer.lr=abc"], "optimizer.lr: expected a valid number, found 'abc'"),
        (["optimizer.lr=0"], "optimizer.lr: expected greater than 0, found 0"),
        (["optimizer.lr=nan"], "optimizer.lr: expected a finite number, found nan"),
        (["optimizer.weight_decay=inf"], "optimizer.weight_decay: expected a finite number, found inf"),
        (["optimizer.lr=null"], "optimizer.lr: expected a valid number, found None"),
        (["optimizer.betas=[0.9]"], "optimizer.betas"),
        (["optimizer.betas=[0.9,1.0]"], "optimizer.betas[1]: expected less than 1, found 1.0"),
        (["arch.depth=2.5"], "arch.depth: expected a valid integer, found 2.5"),
        (["arch.depth=true"], "arch.depth: expected a valid integer, found True"),
        (["arch.width='512'"], "arch.width: expected a valid integer, found '512'"),
        (["arch.activation=swish"], "arch.activation: expected 'relu'"),
        (["+arch.depht=3"], "arch.depht: unknown key; did you mean depth?"),
        (["+optimizer.lr_decay=3"], "optimizer.lr_decay: unknown key"),
        (["~optimizer"], "optimizer: missing; give optimizer=... one of adadelta, adagrad, adam, "),
        (["~optimizer.lr"], "optimizer.lr: missing"),
        (["+foo=1"], "foo: unknown key"),
        (["wandb=3"], "wandb: expected the keys mode"),
        (["+wandb.prject=x"], "wandb.prject: unknown key; did you mean project?"),
        (["+data.utterances.dev=3"], "data.utterances.dev: unknown key"),
        (["data.context=51"], "data.context: expected less than or equal to 50, found 51"),
        (["data.fraction=0"], "data.fraction: expected greater than 0, found 0"),
        (["data=hw1p2"], "data.root: missing"),
        (["optimizer.lr=${nowhere}"], "optimizer.lr: Interpolation key 'nowhere' not found"),
        (["wandb.project='a/b c'"], "wandb.project: expected a name without"),
        (["wandb.tags=['']"], "wandb.tags[0]: expected at least 1 character"),
        (["output_dir="], "output_dir: "),
        (
            ["optimizer.lr=1e308"],
            "optimizer.lr: expected at most 1e+38, since it is computed with in float32, found 1e+308",
        ),
        (["optimizer.weight_decay=1e39"], "optimizer.weight_decay: expected at most 1e+38"),
        (
            ["normalization=cmn_sliding", "normalization.window=1e22"],
            "normalization.window: expected less than or equal",
        ),
        (
            ["data.utterances.train=1e300"],
            "data.utterances.train: expected less than or equal to 1000000, found 1e+300",
        ),
        (["threads=100000"], "threads: expected less than or equal to 1024"),
        (["arch.depth=100000"], "arch.depth: expected less than or equal to 1000"),
        (["data.accents=[gmw/xx]"], "data.accents[0]: expected 'gmw/en-US'"),
        (["data.rate=[1,1e9]"], "data.rate[0]: expected greater than or equal to 80"),
        (["precision=fp8"], "precision: expected 'fp32', 'tf32', 'bf16' or 'fp16', found 'fp8'"),
        (["team.member=0"], "team.member: expected greater than or equal to 1, found 0"),
        (["epochs=1e300"], "epochs: expected less than or equal to 1000000, found 1e+300"),
        (["study.seeds=0.0"], "study.seeds: expected greater than or equal to 1, found 0.0"),
        (["seed=-1"], "seed: expected greater than or equal to 0, found -1"),
        (["arch.width=8", "arch.num_params=5e6"], "arch.width and arch.num_params are both given"),
    ],
)
def test_a_mistake_is_refused_by_name(overrides: list[str], said: str) -> None:
    assert said in refused(*overrides)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "ablate.recipe.optimizer.torch.hub.load",
        "ablate.recipe.optimizer.nn.Linear",
        "ablate.recipe.optimizer._groups",
        "ablate.recipe.arch.cylinder",
        "ablate.recipe.optimizer.no_such",
        "ablate.recipe.optimizer",
        "null",
        "[1]",
        "''",
        "ablate.recipe.optimizer..sgd",
        "ablate.recipe.optimizer.Betas",
    ],
)
def test_only_the_groups_own_callables_can_be_called(target: str) -> None:
    assert "optimizer._target_: expected a public callable of ablate.recipe.optimizer" in refused(
        f"optimizer._target_={target}"
    )


def test_a_nested_target_is_never_called(tmp_path: Path) -> None:
    node = f"{{_target_: os.mkdir, path: {tmp_path / 'made'}}}"
    assert "optimizer.lr: expected a valid number" in refused(f"optimizer.lr={node}")
    assert not (tmp_path / "made").exists()


def test_whole_floats_are_integers_where_integers_are_meant() -> None:
    model = instantiate(checked(["arch.num_params=1e5"]), "arch", 28, 40)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(1e5, rel=0.005)


def test_a_number_has_the_type_that_is_meant_however_it_is_spelled() -> None:
    overrides = [
        "seed=1.0",
        "epochs=2e0",
        "arch.depth=3.0",
        "data.context=5e0",
        "data.utterances.train=2e1",
        "data.channel=1",
    ]
    config = checked([*overrides, "data.rate=[140,230]", "optimizer.lr=1"])
    check(config)
    data = config["data"]
    whole = [config["seed"], config["epochs"], config["arch"]["depth"], data["context"], data["utterances"]["train"]]
    assert whole == [1, 2, 3, 5, 20] and all(type(value) is int for value in whole)
    assert all(type(value) is float for value in [data["channel"], *data["rate"], config["optimizer"]["lr"]])


@pytest.mark.parametrize(
    ("overrides", "path", "text"),
    [
        (["study.name=2024_11_05"], "study.name", "2024_11_05"),
        (["wandb.project=11785"], "wandb.project", "11785"),
        (["wandb.notes=1e-3"], "wandb.notes", "1e-3"),
        (["wandb.notes=true"], "wandb.notes", "true"),
        (["output_dir=2024"], "output_dir", "2024"),
        (["data=hw1p2", "data.root=007"], "data.root", "007"),
        (["data=hw1p2", "data.root=x", "data.train=100"], "data.train", "100"),
        (["data=aligned", "data.root=x", "data.train=2024_11"], "data.train", "2024_11"),
        (["data=aligned", "data.root=x", "data.train=[2024_11,7]"], "data.train", ["2024_11", "7"]),
        (["wandb.tags=[2024_11, x, 1.50]"], "wandb.tags", ["2024_11", "x", "1.50"]),
        (["study.name='0x10'"], "study.name", "0x10"),
        (["study.name=null"], "study.name", None),
    ],
)
def test_text_that_looks_like_a_number_is_as_typed(overrides: list[str], path: str, text: object) -> None:
    config = checked(overrides)
    check(config, "data")
    node, _, name = path.rpartition(".")
    assert (dict(config)[node] if node else dict(config))[name] == text  # type: ignore[index]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["optimizer.lr=[1e-3,1e-2]"],
            "optimizer.lr: expected a valid number, found [0.001, 0.01]; several levels are",
        ),
        (["arch.depth=[2,3]"], "--multirun arch.depth=2,3"),
        (["arch.activation=swish"], "; did you mean silu?"),
        (["arch.norm=batchnorm"], "; did you mean batch?"),
        (["precision=float16"], "; did you mean fp16?"),
        (["device=gpu"], "; did you mean cuda?"),
        (["arch.activation=rleu"], "; did you mean relu?"),
        (["optimizer.lr='0.01'"], "a number stands without quotes, and that of an environment variable is '"),
    ],
)
def test_what_was_meant_is_said(overrides: list[str], said: str) -> None:
    assert said in refused(*overrides)


def test_a_number_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LR", "0.25")
    assert """'optimizer.lr="${oc.decode:${oc.env:NAME}}"'""" in refused("optimizer.lr=${oc.env:LR}")
    assert checked(['optimizer.lr="${oc.decode:${oc.env:LR}}"'])["optimizer"]["lr"] == 0.25


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        checked(["epochs=0", "batch_size=x", "optimizer.lr=-1", "arch.activation=swish", "study.seeds=0"])
    lines = str(caught.value).splitlines()
    keys = ("epochs", "batch_size", "optimizer.lr", "arch.activation", "study.seeds")
    assert all(any(line.startswith(f"{key}: ") for line in lines) for key in keys), lines


def test_keys_of_a_table_that_yaml_takes_for_numbers_and_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/data").mkdir(parents=True)
    text = "defaults: [aligned]\nroot: c\nlabels: {6: ER, 2.5: AH, on: AA, '@': AH}\n"
    (tmp_path / "conf/data/mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    said = refused("data=mine")
    assert "data.labels: its key 6 is no text to YAML" in said and "its key True is no text" in said
    assert said.count("; quote it") == 3 and "[[key]]" not in said


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("specaugment", ["time_freq_mask", "none"], "time_freq_mask"),
        ("SpecAugment", ["time_freq_mask", "none"], "time_freq_mask"),
        ("cosine_annealing", ["cosine", "constant"], "cosine"),
        ("CosineAnnealingLR", ["cosine", "constant"], "cosine"),
        ("StepLR", ["step", "multistep"], "step"),
        ("ReduceLROnPlateau", ["plateau"], "plateau"),
        ("he_normal", ["kaiming_normal"], "kaiming_normal"),
        ("zzz", ["relu"], None),
    ],
)
def test_other_names_are_known(word: str, known: list[str], meant: str | None) -> None:
    assert guess(word, known) == meant


def test_the_nearest_is_named_or_all() -> None:
    assert nearest("lrr", ["lr", "betas"]) == "did you mean lr?"
    assert nearest("x", ["lr", "betas"]) == "known: betas, lr"


def test_a_config_is_typed() -> None:
    """A misspelled key is an error of the type checker, which would call this comment unused if it were none."""
    with pytest.raises(KeyError):
        checked([])["wandb"]["mod"]  # type: ignore[typeddict-item]


def test_a_config_is_checked_without_being_changed() -> None:
    overrides = ["study.name=2024_11_05", "study.exclude=[1_0]", "wandb.notes=1e3", "optimizer.lr=1"]
    config = resolve(compose(overrides))
    before = copy.deepcopy(config)
    found = check_settings(config, overrides)
    assert config == before and found["study"]["name"] == "2024_11_05" != config["study"]["name"]
