"""Designs against sets worked out by hand; fractions against what orthogonal arrays must be."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.study import design
from ablate.study.design import Design, Factor

SHAPE, OPTIM = Factor("arch", ("cyl", "pyr", "dia")), Factor("optimizer", ("sgd", "adamw"))
FACTORS = st.lists(st.integers(1, 4), min_size=0, max_size=4).map(
    lambda sizes: [Factor(f"f{number}", tuple(map(str, range(size)))) for number, size in enumerate(sizes)]
)


def test_a_grid_has_every_combination_in_order() -> None:
    assert design.arms("grid", [SHAPE, OPTIM]) == [
        ("cyl", "sgd"), ("cyl", "adamw"), ("pyr", "sgd"), ("pyr", "adamw"), ("dia", "sgd"), ("dia", "adamw"),
    ]  # fmt: skip


def test_one_factor_at_a_time_leaves_the_others_at_the_baseline() -> None:
    assert design.arms("ofat", [SHAPE, OPTIM]) == [("cyl", "sgd"), ("pyr", "sgd"), ("dia", "sgd"), ("cyl", "adamw")]


def test_a_path_keeps_what_it_has_changed() -> None:
    assert design.arms("path", [SHAPE, OPTIM]) == [("cyl", "sgd"), ("pyr", "sgd"), ("dia", "sgd"), ("dia", "adamw")]


def test_zip_takes_the_levels_side_by_side() -> None:
    rate = Factor("optimizer.lr", ("0.1", "0.001"))
    depth = Factor("arch.depth", ("4",))
    assert design.arms("zip", [OPTIM, rate, depth]) == [("sgd", "0.1", "4"), ("adamw", "0.001", "4")]
    with pytest.raises(ValueError, match=r"study.design=zip: .* 3 of arch, 2 of optimizer"):
        design.arms("zip", [SHAPE, OPTIM])


@given(FACTORS, st.sampled_from(["grid", "ofat", "path"]))
def test_the_baseline_comes_first_and_no_arm_twice(factors: list[Factor], name: Design) -> None:
    arms = design.arms(name, factors)
    assert arms[0] == tuple(factor.levels[0] for factor in factors)
    assert len(set(arms)) == len(arms)
    sizes = [len(factor.levels) for factor in factors]
    expected = {"grid": int(np.prod(sizes)), "ofat": 1 + sum(sizes) - len(sizes), "path": 1 + sum(sizes) - len(sizes)}
    assert len(arms) == expected[name]
    if name == "ofat":
        assert all(sum(a != b for a, b in zip(arm, arms[0], strict=True)) == 1 for arm in arms[1:])
    if name == "path":
        assert all(sum(a != b for a, b in zip(*pair, strict=True)) == 1 for pair in itertools.pairwise(arms))


@pytest.mark.parametrize(
    ("number", "resolution", "runs"), [(3, 3, 4), (4, 4, 8), (5, 3, 8), (5, 5, 16), (6, 4, 16), (7, 3, 8), (8, 4, 16)]
)
def test_a_fraction_is_balanced_orthogonal_and_of_its_resolution(number: int, resolution: int, runs: int) -> None:
    factors = [Factor(name, ("lo", "hi")) for name in "pqrstuvw"[:number]]
    arms = design.arms("fraction", factors, resolution)  # type: ignore[arg-type]
    assert len(arms) == runs and arms[0] == ("lo",) * number
    signs = np.array([[1 if level == "hi" else -1 for level in arm] for arm in arms])
    for size in range(1, resolution):  # products of fewer columns than the resolution are balanced
        for columns in itertools.combinations(range(number), size):
            assert signs[:, columns].prod(1).sum() == 0, columns


def test_aliases_are_the_columns_that_are_equal() -> None:
    factors = [Factor(name, ("lo", "hi")) for name in ("arch", "optimizer", "scheduler")]
    assert sorted(design.aliases("fraction", factors, 3)) == [
        "arch = optimizer x scheduler", "optimizer = arch x scheduler", "scheduler = arch x optimizer",
    ]  # fmt: skip
    four = [*factors, Factor("normalization", ("lo", "hi"))]
    found = design.aliases("fraction", four, 4)
    assert "arch x optimizer = scheduler x normalization" in found and len(found) == 3
    assert design.aliases("grid", four, 4) == []


def test_a_fraction_of_other_than_two_levels_or_of_too_few_factors_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected two levels of each factor, found 3 of arch"):
        design.arms("fraction", [SHAPE, OPTIM])
    with pytest.raises(ValueError, match=r"no fraction of 3 factors has study.resolution=4"):
        design.arms("fraction", [OPTIM, OPTIM, OPTIM], 4)


def test_exclusions_match_all_their_parts() -> None:
    factors = [SHAPE, OPTIM]
    arms = design.arms("grid", factors)
    kept = design.without(arms, factors, ["arch=dia,optimizer=sgd", "arch=pyr"])
    assert kept == [("cyl", "sgd"), ("cyl", "adamw"), ("dia", "adamw")]
    with pytest.raises(ValueError, match=r"study.exclude: 'arch=square' matches no arm"):
        design.without(arms, factors, ["arch=square"])
    with pytest.raises(ValueError, match=r"matches the baseline arch=cyl,optimizer=sgd"):
        design.without(arms, factors, ["optimizer=sgd"])


def test_without_factors_there_is_one_arm() -> None:
    assert design.arms("grid", []) == [()] and design.label([], ()) == "baseline"


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (["arch=c: 2"], "expected ARM: SEEDS, by the arm's whole name, one of arch=b"),
        (["arch=b"], "expected ARM: SEEDS"),
        (["arch=a: 2"], "the baseline is what all arms are compared with"),
        (["arch=b: 0"], "expected from 1 to 3 seeds"),
        (["arch=b: 4"], "expected from 1 to 3 seeds"),
        (["arch=b: x"], "expected from 1 to 3 seeds"),
    ],
)
def test_an_arm_that_can_not_stop_so_is_refused(stop: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        design.seeds_of(["arch=a", "arch=b"], [4, 5, 6], stop)
