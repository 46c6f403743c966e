"""What a multirun's command line gives: factors, their levels, and all that is wrong with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.config.compose import Composer
from ablate.error import UserError
from ablate.multirun.factors import Given, all_mistakes, factors_of


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer() as composer:
        yield composer


def test_what_has_levels_is_a_factor_and_all_else_is_the_same_in_all_cells(composer: Composer) -> None:
    given, notes = factors_of(composer, ["arch=cylinder,pyramid", "epochs=2", "+data.extra=1,2", "optimizer.lr=[0.1]"])
    assert given.fixed == ["epochs=2", "optimizer.lr=[0.1]"] and not notes
    assert [(factor.name, factor.levels) for factor in given.factors] == [
        ("arch", ("cylinder", "pyramid")),
        ("data.extra", ("1", "2")),
    ]
    assert given.levels(given.factors, ("pyramid", "2")) == ["arch=pyramid", "+data.extra=2"]


def study_of(folder: Path, factors: str, *arguments: str) -> Given:
    """What a ready study of these factors gives, with what is typed beside it."""
    (folder / "study").mkdir(exist_ok=True)
    (folder / "mine").mkdir(exist_ok=True)
    for option in "ab":
        (folder / "mine" / f"{option}.yaml").write_text("# @package _global_\nepochs: 1\n")
    (folder / "study" / "own.yaml").write_text(f"factors: {factors}\n", encoding="utf-8")
    with Composer(folders=[str(folder)]) as composer:
        return factors_of(composer, ["study=own", *arguments])[0]


def test_a_sign_in_a_file_is_no_part_of_the_name(tmp_path: Path) -> None:
    given = study_of(tmp_path, "{+mine: [a, b], ++optim.momentum: [0.5, 0.6]}")
    assert [factor.name for factor in given.factors] == ["mine", "optimizer.momentum"]
    assert given.levels(given.factors, ("b", "0.5")) == ["+mine=b", "++optimizer.momentum=0.5"]
    for typed in ("+mine=b", "mine=b"):
        given = study_of(tmp_path, "{+mine: [a, b], ++optim.momentum: [0.5, 0.6]}", typed, "optimizer.momentum=0.7,0.8")
        assert [(factor.name, factor.levels) for factor in given.factors] == [
            ("mine", ("b",)),
            ("optimizer.momentum", ("0.7", "0.8")),
        ]
        assert given.levels(given.factors, ("b", "0.7")) == ["+mine=b", "++optimizer.momentum=0.7"]


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ("{++hydra.launcher.x: [{_target_: os.mkdir, path: made}]}", "^hydra.launcher.x: can't be swept"),
        ("{+hydra/launcher: [basic]}", "^hydra/launcher: can't be swept"),
        ("{hydra/launcher: [basic, joblib]}", "^hydra/launcher: can't be swept"),
        ("{++seed: [1, 2]}", "^seed: can't be swept"),
        ("{++output_dir: [a, b]}", "^output_dir: can't be swept"),
        ("{~arch: [cylinder]}", "^study.factors.~arch: expected a key or a group"),
        ("{++seed: [1], seed: [2]}", "^study.factors.seed: given twice"),
        ("{data.labels: [{ə: AH}]}", "^study.factors.data.labels: Hydra has no words for the level {'ə': 'AH'}"),
    ],
)
def test_a_file_can_set_nothing_that_a_study_may_not(factors: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        study_of(tmp_path, factors)


def test_a_part_of_what_is_swept_is_refused(composer: Composer) -> None:
    for part in ("optimizer.betas.0=0.5", "optimizer.betas.0=0.5,0.6"):
        with pytest.raises(UserError, match=r"^optimizer\.betas\.0: is a part of optimizer\.betas, whose levels would"):
            factors_of(composer, [part, "optimizer.betas=[0.9,0.99],[0.8,0.9]"])
    given, _ = factors_of(composer, ["optimizer.betas.0=0.5,0.6", "optimizer.betas=[0.9,0.99]", "arch=cylinder,custom"])
    assert [factor.name for factor in given.factors] == ["optimizer.betas.0", "arch"]


def test_all_mistakes_of_all_levels_are_told_each_once(composer: Composer) -> None:
    many = ",".join(f"w{number}" for number in range(50))
    arguments = ["data=espeak", "arch=cylinder,cube", "arch.dept=1,2", f"arch.width={many}", "epochs=0"]
    found = all_mistakes(composer, [*arguments, "optimizer=sgd,adamw,sgdd", "optimizer.lrr=0.1"])
    assert [line.partition(";")[0] for line in found] == [
        "optimizer.lrr: unknown key",
        "arch.dept: unknown key",
        "epochs: expected greater than or equal to 1, found 0",
        "arch.width: expected a valid integer, found 'w0'",
        "arch=cube: no such option",
        *(f"arch.width: expected a valid integer, found 'w{number}'" for number in range(1, 50)),
        "optimizer=sgdd: no such option",
    ]


def test_what_was_given_and_is_wrong_is_not_called_missing_too(composer: Composer) -> None:
    (line,) = all_mistakes(composer, ["data=hw1p2", "data.root=2024_11,2024_12"])
    assert line.startswith("data.root=2024_11,2024_12: 2024_11 is a number to Hydra")
    assert "data.root: missing" in all_mistakes(composer, ["data=hw1p2", "optimizer.lr=1_0,2"])[-1]


def test_a_factor_whose_levels_do_not_compose_is_looked_through_so_far(composer: Composer) -> None:
    wrong = ",".join(f"shape{number}" for number in range(30))
    found = all_mistakes(composer, [f"arch={wrong}", "optimizer=adamw,sgdd"])
    assert len(found) == 21 and found[-1].startswith("optimizer=sgdd: no such option")
