"""What is kept is given to each who asks as if he had made it himself."""

from dataclasses import dataclass

import pytest
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, InterpolationKeyError

from ablate.config.kept import Kept


def test_each_who_asks_has_his_own() -> None:
    kept = Kept[str, dict[str, list[int]]]()
    made = {"a": [1]}
    kept["x"] = made
    made["a"].append(2)
    kept["x"]["a"].append(3)
    assert kept["x"] == {"a": [1]} and "x" in kept and "y" not in kept
    with pytest.raises(KeyError, match="y"):
        kept["y"]


def test_a_config_is_as_it_was_made() -> None:
    made = OmegaConf.create({"a": {"b": "${c}", "d": [1, None], "e": "???"}, "c": 3, "f": "${nowhere}"})
    OmegaConf.set_struct(made, True)
    OmegaConf.set_readonly(made.a, True)
    kept = Kept[int, DictConfig]()
    kept[1] = made
    found = kept[1]
    assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(made) and found.a.b == 3
    assert OmegaConf.is_struct(found) and OmegaConf.is_readonly(found.a) and OmegaConf.is_missing(found.a, "e")
    assert found.a._get_parent() is found
    for name, error in (("f", InterpolationKeyError), ("g", ConfigKeyError)):
        with pytest.raises(error):
            found[name]


def test_a_config_of_a_class_that_cannot_be_pickled_is_kept_too() -> None:
    @dataclass
    class Local:
        width: int = 3

    made = OmegaConf.create({"a": OmegaConf.structured(Local)})
    kept = Kept[int, DictConfig]()
    kept[1] = made
    made.a.width = 4
    kept[1].a.width = 5
    assert kept[1].a.width == 3 and OmegaConf.get_type(kept[1].a) is Local
