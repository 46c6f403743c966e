"""Overrides as text mean what is meant."""

from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ablate.config.compose import Composer, parse
from ablate.config.override import quoted, with_list

TEXTS = st.text(alphabet="\\'\"${}a b,:=[]()\n\tə.@", max_size=12) | st.text(max_size=12)


@given(TEXTS)
@example("a\\${x}\\")
@example("a\\b\\")
def test_a_text_in_quotes_is_that_text_to_hydra_and_omegaconf(text: str) -> None:
    value = parse(f"a={quoted(text)}").value()
    assert OmegaConf.create({"a": value, "x": "other"}).a == text


def test_texts_in_quotes_are_those_of_the_config() -> None:
    texts = ["${seed}", "a\\b", "it's, ${.x}"]
    with Composer() as composer:
        config = composer.compose([with_list("team.stores", texts), f"study.arm={quoted(texts[0])}"])
    assert list(config.team.stores) == texts and config.study.arm == "${seed}"
