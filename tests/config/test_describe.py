"""What a key may be, in words, from the annotation that checks it."""

from typing import Annotated, Any, Literal

import pytest
from annotated_types import Len

from ablate.config.describe import may_be
from ablate.config.settings import Wandb
from ablate.quantity import Count, Fraction, InnerFraction, Positive


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (bool, "true or false"),
        (str | None, "text or null"),
        (Literal["a", "b", 3], "a, b or 3"),
        (Count, "a whole number from 1"),
        (Positive, "a number above 0"),
        (Fraction | None, "a number from 0 to 1 or null"),
        (InnerFraction, "a number above 0 below 1"),
        (Annotated[list[Fraction], Len(2, 2)], "a list of a number from 0 to 1 of 2 entries"),
        (Annotated[str, Len(1)], "text that is not empty"),
        (dict[str, Any], "a table"),
        (Wandb, "the keys mode, entity, project, tags, notes, alert, lookup, artifact"),
    ],
)
def test_in_words(hint: Any, words: str) -> None:
    assert may_be(hint) == words
