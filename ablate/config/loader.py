"""Hydra's loader of configs, which does once what Hydra does for each of a command's compositions."""

from __future__ import annotations

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig

from ablate.config.kept import Kept
from ablate.config.repository import Files

_Part = tuple[str | None, str | None]  # a file's path, and its package


class Loader(ConfigLoaderImpl):
    """Reads each file once, and merges each list of files once; each composition has a config of its own."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.files = Files(self.repository)
        self.repository = self.files  # type: ignore[assignment]
        self._merged = Kept[tuple[_Part, ...], DictConfig]()

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """The names of a group's options: Hydra would parse no overrides, as these are, for each of a help's groups."""
        if overrides:
            return super().get_group_options(group_name, results_filter, config_name, overrides)
        return self.files.get_group_options(group_name, results_filter)

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        asked = tuple((each.config_path, each.package) for each in defaults)
        if asked not in self._merged:
            self._merged[asked] = super()._compose_config_from_defaults_list(defaults, repo)
        return self._merged[asked]
