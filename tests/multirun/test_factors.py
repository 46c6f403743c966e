"""What a multirun's command line gives: factors, their levels, and all that is wrong with them."""

from collections.abc import Iterator

import pytest

from ablate.config.compose import Composer
from ablate.error import UserError
from ablate.multirun.factors import all_mistakes, factors_of, levels_of


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


@pytest.mark.parametrize(
    ("override", "levels"),
    [
        ("optimizer.lr=range(0.1,0.4,0.1)", ("0.1", "0.2", "0.3", "0.4")),
        ("optimizer.lr=choice(1e-3,0.01)", ("0.001", "0.01")),
        ("arch.depth=range(2,4)", ("2", "3")),
        ("optimizer.betas=[0.9,0.99],[0.8,0.9]", ("[0.9,0.99]", "[0.8,0.9]")),
        ("arch.depth=3", ("3",)),
        ("averaging=glob(*a)", ("ema", "swa")),
    ],
)
def test_levels(override: str, levels: tuple[str, ...], composer: Composer) -> None:
    assert levels_of(composer.parsed(override)) == levels


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


def test_a_factor_whose_levels_do_not_compose_is_looked_through_so_far(composer: Composer) -> None:
    wrong = ",".join(f"shape{number}" for number in range(30))
    found = all_mistakes(composer, [f"arch={wrong}", "optimizer=adamw,sgdd"])
    assert len(found) == 21 and found[-1].startswith("optimizer=sgdd: no such option")
