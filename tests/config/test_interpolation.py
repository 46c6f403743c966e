"""Interpolations that grow beyond all sense, and those that lead to secrets."""

import pytest

from ablate.config.interpolation import check_growth, check_secrets
from ablate.error import UserError


def test_what_doubles_at_each_step_is_refused_at_once() -> None:
    bomb = {f"x{step}": f"${{x{step + 1}}}${{x{step + 1}}}" for step in range(60)} | {"x60": "a"}
    with pytest.raises(UserError, match="expected at most 1,000,000 characters, its interpolations make more"):
        check_growth(bomb)
    nodes = {f"n{step}": {"a": f"${{n{step + 1}}}", "b": f"${{n{step + 1}}}"} for step in range(60)} | {
        "n60": {"a": "z"}
    }
    with pytest.raises(UserError, match="its interpolations make more"):
        check_growth(nodes)
    check_growth({"a": "${b.c}", "b": {"c": "${.d}", "d": 1, "e": ["${a}", None]}, "circle": "${circle}"})


def test_a_secret_of_the_environment_is_not_taken_into_a_config() -> None:
    environment = {
        "WANDB_API_KEY": "0123456789abcdef",
        "HF_TOKEN": "short",
        "MY_KEY_FILE": "/home/me/key",
        "KEYS": "x" * 9,
    }
    check_secrets({"notes": "short /home/me/key", "tags": ["x" * 9], "n": 3}, environment)
    with pytest.raises(UserError, match=r"wandb\.tags\.1: holds the value of WANDB_API_KEY, which would be recorded"):
        check_secrets({"wandb": {"tags": ["a", "my 0123456789abcdef"]}}, environment)
