"""Levels are those that were typed, or that a file has."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.config.compose import Composer, parse
from ablate.error import UserError
from ablate.multirun.levels import in_hydras_words, levels_of


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer() as composer:
        yield composer


@pytest.mark.parametrize(
    ("override", "levels"),
    [
        ("optimizer.lr=range(0.1,0.4,0.1)", ("0.1", "0.2", "0.3", "0.4")),
        ("optimizer.lr=choice(1e-3,0.01)", ("0.001", "0.01")),
        ("arch.depth=range(2,4)", ("2", "3")),
        ("optimizer.betas=[0.9,0.99],[0.8,0.9]", ("[0.9,0.99]", "[0.8,0.9]")),
        ("arch.depth=3", ("3",)),
        ("averaging=glob(*a)", ("ema", "swa")),
        ("data.root='2024_11',a_1,b/2024_1", ("'2024_11'", "a_1", "b/2024_1")),
    ],
)
def test_levels(override: str, levels: tuple[str, ...], composer: Composer) -> None:
    assert levels_of(composer.parsed(override)) == levels


@pytest.mark.parametrize("value", ["2024_11,2024_12", "[2024_11],[1]", "1,-1_0.5", "1_0e3", "{a:1_0},{a:2}"])
def test_a_number_that_would_lose_a_sign_is_refused(value: str, composer: Composer) -> None:
    with pytest.raises(UserError, match=r"is a number to Hydra, which leaves out its _; text stands in quotes, '"):
        levels_of(composer.parsed(f"data.root={value}"))


@pytest.mark.parametrize(
    ("value", "levels"),
    [
        ("range(1,3)", ("1", "2")),
        (["sgd", "adamw"], ("sgd", "adamw")),
        ([0.1, 1e-5, None, True], ("0.1", "1e-05", "null", "True")),
        (["[0.9,0.99]", [0.8, 0.9]], ("[0.9,0.99]", "[0.8,0.9]")),
        ([["Müller, A", "Ana"], ["null", "1", ""]], ("['Müller, A',Ana]", "['null','1','']")),
        (["gmw/en, gmw/en-US", "[a"], ("'gmw/en, gmw/en-US'", "'[a'")),
        ([{"sil": "SIL", "AX": "ə"}], ("{sil:SIL,AX:'ə'}",)),
    ],
)
def test_levels_of_a_file(value: object, levels: tuple[str, ...], composer: Composer) -> None:
    assert levels_of(composer.parsed(f"x={in_hydras_words('x', value)}")) == levels


PARTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.from_regex(r"[A-Za-z]{1,4}", fullmatch=True), below),
    max_leaves=5,
)


@given(PARTS.filter(lambda value: isinstance(value, list | dict)))
def test_a_level_of_a_file_is_what_the_file_has_or_refused(level: object) -> None:
    try:
        words = in_hydras_words("x", [level])
    except UserError as error:
        assert "Hydra has no words for the level" in str(error)
    else:
        assert parse(f"x={words}").value() == level
