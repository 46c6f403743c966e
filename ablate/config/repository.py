"""The config files of all folders, each read once; what Hydra may be told by one of the user's is decided here."""

from __future__ import annotations

import contextlib
import copy
import posixpath
import re
import typing
from collections.abc import Iterator
from pathlib import Path

from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository, IConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import InputDefault
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ablate.config import own
from ablate.config.folder import check_file
from ablate.config.kept import Kept
from ablate.error import UserError, clipped

_NOT_OWN = re.compile(r"main|schema|hydra(-\w+)*")  # providers of configs: ours, Hydra's, installed plugins of Hydra
_MOST_FILES = 1_000  # that a defaults list may bring, each as often as it is named
_CHOSEN_BY_PRIMARY = ("hydra/sweeper", "hydra/help", "hydra/hydra_logging", "hydra/job_logging")


class Files(CachingConfigRepository):
    """The config files, each read once: Hydra copies its repository for every composition.

    What it gives is the asker's own. Of a user's folder, `hydra/` is not read.
    """

    def __init__(self, delegate: IConfigRepository) -> None:
        super().__init__(delegate)
        self._read = Kept[str, ConfigResult | None]()
        self.has_dependent_choices = False  # of what was read: whether a choice in it is made by another
        self._sizes: dict[str, int] = {}  # of a user's file with all that its defaults list brings
        self._options: dict[tuple[str, ObjectType | None], list[str]] = {}
        self._withhold()

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Look there for files from now on."""
        super().initialize_sources(config_search_path)
        self._withhold()

    def load_config(self, config_path: str) -> ConfigResult | None:
        """A copy of a config as its file has it.

        Raises `UserError` for a choice in it that would not be heeded, and for a user's file that is no config.
        """
        if config_path not in self._read:
            self._check_file(config_path)
            with self._naming(config_path):
                self._read[config_path] = found = self._of(config_path).load_config(config_path)
                self.has_dependent_choices |= any(map(_is_dependent, (found and found.defaults_list) or ()))
        found = self._read[config_path]
        self._check_size(config_path, found)
        if found and found.provider == "main" and config_path.startswith("hydra/"):
            found.is_schema_source = True  # whole as it is: a plugin's option of the same name is no schema of it
        for default in (found and found.defaults_list) or ():
            group = str(getattr(default, "group", None)).lstrip("/")
            if default.is_override() and group in _CHOSEN_BY_PRIMARY and "/" in config_path:
                option = default.get_name()
                raise UserError(
                    f"{config_path}.yaml: override /{group}: {option}: not heeded, since the primary config chooses "
                    f"before it; give {group}={option} on the command line, or in a primary config of your own"
                )
        return found

    def group_exists(self, config_path: str) -> bool:
        """Whether there is a group of this path."""
        return self._of(config_path).group_exists(config_path)

    def config_exists(self, config_path: str) -> bool:
        """Whether there is a config of this path."""
        return self._of(config_path).config_exists(config_path)

    def get_group_options(self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG) -> list[str]:
        """The names of a group's options, or of the groups in it."""
        asked = group_name, results_filter
        if asked not in self._options:
            self._options[asked] = self._of(group_name).get_group_options(group_name, results_filter)
        return list(self._options[asked])

    def has_own(self) -> bool:
        """Whether there are folders of the user's."""
        return any(_is_own(source.provider) for source in self.get_sources())

    def own_option(self, path: str) -> own.Option | None:
        """What a file of the user's sets at its top; none for one of ours, or of a plugin for Hydra."""
        found = self.load_config(path)
        if found is None or not _is_own(found.provider) or _is_hydras(path):
            return None
        keys = [str(key) for key in found.config] if isinstance(found.config, DictConfig) else []
        return own.Option(keys, [_group_of(each) for each in found.defaults_list or () if each.is_override()])

    def _check_size(self, path: str, found: ConfigResult | None) -> int:
        """How many files an option brings; raises `UserError` before Hydra follows lists that double at each step."""
        if found is None or not _is_own(found.provider):
            return 1
        if path not in self._sizes:
            self._sizes[path] = 1  # where it leads back to itself, which Hydra tells
            for default in typing.cast(ConfigResult, self._read[path]).defaults_list or ():
                if default.is_self() or default.is_override() or not isinstance(default.get_name(), str):
                    continue
                default.update_parent(posixpath.dirname(path), "")
                below = default.get_config_path()
                self._sizes[path] += self._check_size(below, self.load_config(below))
        if self._sizes[path] > _MOST_FILES:
            raise UserError(f"{path}.yaml: expected a defaults list of at most {_MOST_FILES:,} files, found more")
        return self._sizes[path]

    def _withhold(self) -> None:
        self._options.clear()
        self._installed = copy.copy(typing.cast(ConfigRepository, self.delegate))
        self._installed.sources = [each for each in self.get_sources() if not _is_own(each.provider)]

    def _of(self, path: str) -> IConfigRepository:
        return self._installed if _is_hydras(path) else self.delegate

    @contextlib.contextmanager
    def _naming(self, path: str) -> Iterator[None]:
        """A context in which what is wrong within a file of the user's is told with its name."""
        try:
            yield
        except UnicodeDecodeError:
            raise
        except (ValueError, OmegaConfBaseException) as error:
            for file in filter(Path.is_file, self._own_files(path)):
                said = clipped(" ".join(str(error).split()))
                raise UserError(f"{file}: a value in it can't be read: {said}; mend it there") from error
            raise

    def _check_file(self, path: str) -> None:
        for file in self._own_files(path):
            check_file(file)

    def _own_files(self, path: str) -> Iterator[Path]:
        """Where a config of the user's may be."""
        for source in self.get_sources():
            if _is_own(source.provider) and source.scheme() == "file":
                yield Path(source.path) / f"{path.removesuffix('.yaml')}.yaml"

    def __deepcopy__(self, memo: object) -> Files:
        return self


def _is_own(provider: str) -> bool:
    """Whether configs of this provider are the user's: of a folder or a package that Hydra was told of."""
    return not _NOT_OWN.fullmatch(provider)


def _is_hydras(path: str) -> bool:
    """Whether a config is below `hydra/`, where none of the user's is read."""
    return posixpath.normpath(path).lstrip("/").split("/")[0] == "hydra"


def _is_dependent(default: InputDefault) -> bool:
    """Whether it interpolates, as only another choice can be interpolated there."""
    return any("${" in str(value) for value in vars(default).values())


def _group_of(default: InputDefault) -> str:
    """The group of which a default in a defaults list is an option, from the top."""
    return str(getattr(default, "group", None) or getattr(default, "path", "")).lstrip("/")
