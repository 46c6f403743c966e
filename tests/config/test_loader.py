"""What is merged once is what Hydra would merge each time."""

from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import ResultDefault
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ablate.config.compose import Composer
from ablate.config.folder import options
from ablate.config.settings import GROUPS


def everything(composed: DictConfig) -> str:
    """A config with Hydra's own node and all flags of its nodes."""
    flags = []

    def visit(path: str, node: object) -> None:
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            flags.append((path, node._metadata.flags, node._metadata.ref_type, node._metadata.object_type))
            for key, below in node.items_ex(resolve=False):
                visit(f"{path}.{key!s}", below)

    visit("", composed)
    return repr((OmegaConf.to_yaml(composed), flags))


def lines() -> list[list[str]]:
    """Overrides of which later ones ask for files that earlier ones have asked for, with other values."""
    last = [[f"{group}={options(group)[-1]}"] for group in GROUPS]
    return [
        [], ["optimizer=sgd", "optimizer.lr=3"], ["optimizer=sgd"], ["+data.extra={a: 1}"], ["~arch.dropout"], [],
        ["hydra/launcher=joblib", "optimizer=sgd"], ["hydra/sweeper=basic"], ["study=first_look"],
        ["hydra.verbose=true"],
        *last, [],
    ]  # fmt: skip


def test_a_command_composes_as_hydra_does() -> None:
    with Composer() as composer:
        for mode in (RunMode.RUN, RunMode.MULTIRUN):
            for given in lines():
                plain = ConfigLoaderImpl(composer._search_path())
                expected = plain.load_configuration(composer.config_name, given, mode)
                found = composer._loader.load_configuration(composer.config_name, given, mode)
                assert everything(found) == everything(expected), given
                OmegaConf.set_readonly(found.arch, True)  # what a caller does to his own
                found.optimizer._target_ = "of nobody else"


def test_a_file_at_another_place_is_merged_there() -> None:
    with Composer() as composer:
        for package in ("optimizer", "elsewhere.below"):
            part = ResultDefault(config_path="optimizer/sgd", package=package)
            merged = composer._loader._compose_config_from_defaults_list([part], composer._loader.repository)
            assert OmegaConf.select(merged, f"{package}._target_").endswith(".sgd")


def test_options_of_a_users_own_folder_are_listed_with_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/optimizer").mkdir(parents=True)
    (tmp_path / "conf/optimizer/mine.yaml").write_text("defaults: [sgd]\n")
    monkeypatch.chdir(tmp_path)
    with Composer() as composer:
        plain = ConfigLoaderImpl(composer._search_path())
        for group in ("optimizer", "hydra/launcher", "nowhere"):
            assert composer._loader.get_group_options(group) == plain.get_group_options(group)
        assert "mine" in composer.options("optimizer")
