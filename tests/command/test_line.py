"""One spelling, flags first, nothing twice."""

import subprocess
import sys
from pathlib import Path

import pytest

from ablate.command.line import canonical
from ablate.config.folder import options
from ablate.config.override import canonical_override
from ablate.error import UserError


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["a=1", "--multirun", "b=2,3"], ["--multirun", "a=1", "b=2,3"]),
        (["arch=pyramid", "-m", "optim=sgd"], ["-m", "arch=pyramid", "optimizer=sgd"]),
        (["optim=sgd", "--cfg", "job", "-p", "optim"], ["--cfg", "job", "-p", "optimizer", "optimizer=sgd"]),
        (["--info", "arch=pyramid"], ["--info", "all", "arch=pyramid"]),
        (["arch=pyramid", "--info", "defaults"], ["--info", "defaults", "arch=pyramid"]),
        (["--cfg=job", "seed=1"], ["--cfg", "job", "seed=1"]),
        (["optim.lr=1e-3", "optimizer.lr=0.001"], ["optimizer.lr=1e-3"]),
        (["+optim.x=1", "++optim.y=2", "~optim.z"], ["+optimizer.x=1", "++optimizer.y=2", "~optimizer.z"]),
        (["optimal=1", "wandb.notes=optim=sgd"], ["optimal=1", "wandb.notes=optim=sgd"]),
        (["seed=1", "seed=1"], ["seed=1"]),
        (["experiment=null", "study=null", "seed=1"], ["seed=1"]),
        (["+experiment=a"], ["experiment=a"]),
        (["data.root=~/corpus", "wandb.notes=~x"], [f"data.root={Path.home()}/corpus", "wandb.notes=~x"]),
    ],
)
def test_canonical(typed: list[str], meant: list[str]) -> None:
    assert canonical(typed) == meant


@pytest.mark.parametrize(
    "twice",
    [
        ["seed=1", "seed=2"],
        ["epochs=1", "epochs=true"],
        ["optim=sgd", "optimizer=adam"],
        ["optim.lr=1", "+optimizer.lr=2"],
    ],
)
def test_different_values_of_one_key_are_refused(twice: list[str]) -> None:
    with pytest.raises(UserError, match="given twice"):
        canonical(twice)


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(UserError, match="--mutlirun: unknown flag"):
        canonical(["--mutlirun", "seed=1,2"])


@pytest.mark.parametrize(
    "line", [["seed=1", "-p"], ["--package", "--cfg", "job"], ["--cfg"], ["--cfg", "everything"], ["-cd"]]
)
def test_a_flag_without_its_value_takes_no_override_for_it(line: list[str]) -> None:
    with pytest.raises(UserError, match=r"expected .* behind it, found"):
        canonical(line)


def test_completion_can_be_installed_in_bash(environment: dict[str, str], tmp_path: Path) -> None:
    script = f'PATH="{Path(sys.executable).parent}:$PATH"; eval "$(ablate -sc install=bash)"; complete -p ablate'
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "hydra_bash_completion" in done.stdout, done.stderr


def test_an_alias_of_a_group_with_a_package() -> None:
    assert canonical_override("optim@other=sgd") == "optimizer@other=sgd"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ablate optim=", {f"optim={option}" for option in options("optimizer")}),
        ("ablate optimizer=s", {"optimizer=sam", "optimizer=sam_adamw", "optimizer=sgd"}),
        ("ablate arch=pyramid optim.l", {"optim.lr="}),
        ("ablate optim=sgd arch=inv", {"arch=inverse_pyramid"}),
        ("python -m ablate.run optim=sg", {"optim=sgd"}),
        ("ablate normal", {"normalization=", "normalization."}),
        ("ablate opt", {"optimizer=", "optimizer.", "optim="}),
        ("uv run ablate optim=sg", {"optim=sgd"}),
        ("ablate run optim=sg", {"optim=sgd"}),
        ("python -m ablate run optim=sg", {"optim=sgd"}),
        ("uv run python -m ablate.run optim=sg", {"optim=sgd"}),
    ],
)
def test_completion(line: str, expected: set[str], environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("ablate"), "-sc", "query=bash"],
        env=environment | {"COMP_LINE": line}, capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == expected
