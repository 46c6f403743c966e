"""Configs, composed by Hydra. All that is known of Hydra's inside is known here, in `loader` and in `repository`.

A command has one `Composer`: what it was told of folders, of the primary config and of `hydra.*` holds for each of its
compositions, and each config file is read once. What Hydra offers and we can't keep in all of them is refused.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.conf import HydraConf, JobConf, RunDir, SweepDir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job
from hydra.errors import HydraException
from hydra.initialize import get_gh_backup, restore_gh_from_backup
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ablate.config import own
from ablate.config.folder import PRIMARY, conf_dir, user_conf_dir
from ablate.config.interpolation import check_growth, check_secrets
from ablate.config.kept import Kept
from ablate.config.loader import Loader
from ablate.config.override import NOTHING, name_of, value_of
from ablate.config.settings import GROUPS, Config
from ablate.config.spelling import nearest
from ablate.error import UserError
from ablate.record.key import is_outside, leaves

OUR_SWEEPER = "ablate"
Task = Callable[[DictConfig], Any]

_SEARCHPATH = "hydra.searchpath"


class Composer:
    """Composes the configs of one command; a context, since Hydra has one place for all that it is told.

    `folders` hold options of the user's own, which add to ours and replace them; `of_hydra` are the overrides of
    `hydra.*` and of its groups; a primary config that comes from a record is not trusted. Raises `UserError` for a
    folder that is not there.
    """

    def __init__(
        self,
        config_name: str | None = None,
        folders: Sequence[str] = (),
        of_hydra: Sequence[str] = (),
        *,
        trusts_primary: bool = True,
    ) -> None:
        self._trusts_primary = trusts_primary
        self.config_name = (config_name or PRIMARY).removesuffix(".yaml")
        self.of_hydra = [each for each in of_hydra if not each.lstrip("+").startswith(f"{_SEARCHPATH}=")]
        searched = [path for each in of_hydra if each not in self.of_hydra for path in _paths(each)]
        self._folders = [_absolute("--config-dir", folder) for folder in folders]
        self._folders += [_absolute(_SEARCHPATH, folder) for folder in searched]
        self._parsed: dict[str, Override] = {}
        self._composed = Kept[tuple[str, ...], DictConfig]()
        self._refused: dict[tuple[str, tuple[str, ...]], HydraException] = {}

    @property
    def folders(self) -> list[str]:
        """Those of the user's own options, as Hydra names them."""
        return list(self._folders)

    @classmethod
    def of(cls, flags: argparse.Namespace, overrides: Sequence[str]) -> Composer:
        """As a command line's flags and overrides have it."""
        if flags.config_path:
            raise UserError("--config-path: ablate needs its own configs; --config-dir adds a folder of yours to them")
        folders = [flags.config_dir] if flags.config_dir else []
        return cls(flags.config_name, folders, [each for each in overrides if is_of_hydra(each)])

    def __enter__(self) -> Composer:
        self._before = get_gh_backup()
        GlobalHydra.instance().clear()
        version.setbase("1.3")
        self._loader = Loader(self._search_path())
        self._hydra = Hydra("ablate", self._loader)
        GlobalHydra.instance().initialize(self._hydra)
        for source in self._loader.get_sources():
            if source.provider == "user" and not source.available():
                raise UserError(f"{_SEARCHPATH}={source.full_path()}: expected a folder or a package, found nothing")
        self._parser = OverridesParser.create(config_loader=self._loader)  # which expands globs
        return self

    def __exit__(self, *_: object) -> None:
        restore_gh_from_backup(self._before)

    def without_hydra(self) -> Composer:
        """Another one of the same folders and the same primary config, which knows nothing of `hydra.*`."""
        return Composer(self.config_name, self._folders, trusts_primary=self._trusts_primary)

    def _search_path(self) -> ConfigSearchPath:
        path = create_config_search_path(str(conf_dir()))
        own = user_conf_dir()
        for folder in [*self._folders, *([f"file://{own}"] if own else [])]:
            file = Path(folder.removeprefix("file://")) / f"{PRIMARY}.yaml"
            if file.exists():
                remedy = f"put options into {file.parent}/<group>/"
                if ((clone := file.parent.parent) / "ablate/__init__.py").is_file():
                    remedy = f"to use a clone's, install it in place: uv pip install -e {clone}"
                raise UserError(f"{file}: it would replace ablate's own; {remedy}")
            path.prepend(provider="user", path=folder, anchor="main")
        return path

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of these overrides (canonical names); unresolved, the caller's own."""
        given = tuple(overrides)
        if given not in self._composed:
            composed = self.whole(overrides)
            with open_dict(composed):
                del composed["hydra"]
            self._composed[given] = composed
        return self._composed[given]

    def whole(
        self,
        overrides: Sequence[str],
        mode: Literal["run", "multirun"] = "run",
        of_hydra: Sequence[str] | None = None,
    ) -> DictConfig:
        """The config with Hydra's own node. Raises `UserError` for what is asked of Hydra and can't be kept."""
        given = [
            *(self.of_hydra if of_hydra is None else of_hydra),
            *(each for each in overrides if each not in NOTHING),
        ]
        asked = mode, tuple(given)
        if asked in self._refused:
            raise self._refused[asked].with_traceback(None)
        try:
            return self._load(given, RunMode.MULTIRUN if mode == "multirun" else RunMode.RUN)
        except HydraException as error:
            self._refused[asked] = error  # asked again by who looks for the override that is to blame
            raise

    def _load(self, given: list[str], run_mode: RunMode) -> DictConfig:
        _refuse_unknown_additions(given)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # as of a folder in a config's hydra.searchpath
            try:
                self._check_own_options(given, run_mode)
                composed = self._loader.load_configuration(self.config_name, given, run_mode)
            except UserWarning as warning:
                raise UserError(f"{self.config_name}: {str(warning).strip()}") from warning
        _refuse_what_is_not_kept(composed)
        return composed

    def _check_own_options(self, overrides: list[str], mode: RunMode) -> None:
        files = self._loader.files
        if files.has_own():
            listed = self._loader.compute_defaults_list(self.config_name, overrides, mode).defaults
            parts = [own.Part(str(each.config_path), each.package or "", str(each.parent)) for each in listed]
            users = {part.path: files.own_option(part.path) for part in parts if not self._is_typed(part.path)}
            own.check(parts, {path: option for path, option in users.items() if option})

    def _is_typed(self, path: str) -> bool:
        """Whether a config is a primary one that the user names: their own word, which may set what it likes."""
        return self._trusts_primary and path == self.config_name

    def parsed(self, override: str) -> Override:
        """An override as Hydra reads it."""
        if override not in self._parsed:
            self._parsed[override] = self._parser.parse_overrides([override])[0]
        return self._parsed[override]

    def is_sweep(self, override: str) -> bool:
        """Whether an override gives several levels; what can't be read gives none."""
        try:
            return bool(self.parsed(override).is_sweep_override())
        except HydraException:
            return False

    @staticmethod
    def is_multirun(composed: DictConfig) -> bool:
        """Whether a whole config is that of a multirun without its flag: `hydra.mode=MULTIRUN`, wherever it stands."""
        return bool(composed.hydra.mode == RunMode.MULTIRUN)

    def asked_mode(self) -> str | None:
        """The `hydra.mode` that was typed."""
        return next((value_of(each) for each in self.of_hydra if name_of(each) == "hydra.mode"), None)

    @staticmethod
    def sweeper(composed: DictConfig) -> str | None:
        """The sweeper that a whole config chooses."""
        return typing.cast(str | None, composed.hydra.runtime.choices.get("hydra/sweeper"))

    def options(self, group: str) -> list[str]:
        """The names of a group's options, from all folders."""
        return sorted(self._loader.get_group_options(group))

    def keys_of(self, group: str, option: str) -> set[str]:
        """The keys that an option's file sets, or those that it takes from others of its group."""
        found = self._loader.files.load_config(f"{group}/{option}")
        if found is None or not isinstance(found.config, DictConfig):
            return set()
        keys = {str(key) for key in found.config}
        for each in found.defaults_list or ():
            if (name := each.get_name()) and name != "_self_" and not each.is_override():
                keys |= self.keys_of(group, name)
        return keys

    def groups_of_hydra(self) -> list[str]:
        """The groups of Hydra's own options: `hydra/launcher`."""
        return [f"hydra/{group}" for group in self._loader.list_groups("hydra")]

    def is_group(self, name: str) -> bool:
        """Whether a name is that of a group of options, ours or the user's."""
        return self._loader.files.group_exists(name)

    def has_dependent_choices(self) -> bool:
        """Whether a defaults list that was read names an option by another choice: `${arch}_small`."""
        return self._loader.files.has_dependent_choices

    def differences(self, config: Config, choices: Mapping[str, str]) -> list[str]:
        """What a config has that is not default, as overrides without the seed: options first, then single values."""
        defaults = self._loader.compute_defaults_list(self.config_name, [], RunMode.RUN).overrides.known_choices
        options = [f"{group}={option}" for group, option in choices.items()]
        plain = OmegaConf.to_container(self.compose(options), resolve=True)
        before = dict(leaves(typing.cast(dict[str, Any], plain)))
        chosen = [f"{group}={option}" for group, option in choices.items() if option != defaults.get(group)]
        values = [
            f"{path}={value}" for path, value in leaves(config)
            if before.get(path) != value and path != "seed" and not is_outside(path)
        ]  # fmt: skip
        return chosen + values

    def run(self, composed: DictConfig, task: Task) -> Any:
        """What the task gives for a whole config, run here; its exception is raised as it is."""
        configure_log(composed.hydra.hydra_logging, composed.hydra.verbose)
        directories = {"job_dir_key": "hydra.run.dir", "job_subdir_key": None}
        returned = run_job(config=composed, task_function=task, hydra_context=self._context(), **directories)  # type: ignore[arg-type]
        if error := failure(returned):
            raise error
        return returned.return_value

    def launcher(self, composed: DictConfig, task: Task) -> Launcher:
        """The launcher that a whole config of a multirun asks for. Raises `UserError` where it is not installed."""
        _check_installed(composed)
        return Plugins.instance().instantiate_launcher(
            config=composed, task_function=task, hydra_context=self._context()
        )

    def sweep_by_another(self, overrides: Sequence[str], task: Task) -> None:
        """Give the whole command line to the sweeper that is chosen in it."""
        self._hydra.multirun(self.config_name, task, [*self.of_hydra, *overrides])

    def show(self, flags: argparse.Namespace, overrides: Sequence[str]) -> None:
        """What the flags ask to be shown: help, configs, completions."""
        given = [*self.of_hydra, *overrides]
        if flags.help or flags.hydra_help:
            show = self._hydra.app_help if flags.help else self._hydra.hydra_help
            show(config_name=self.config_name, args_parser=get_args_parser(), args=flags)
        elif flags.shell_completion:
            if sum(each.startswith(("install=", "uninstall=", "query=")) for each in overrides) != 1:
                raise UserError(
                    "--shell-completion: expected one of install=, uninstall=, query= and a shell behind it"
                )
            self._hydra.shell_completion(self.config_name, given)
        elif flags.cfg:
            if flags.package and OmegaConf.select(self.whole(overrides), flags.package) is None:
                raise UserError(f"--package {flags.package}: no such part of the config")
            self._hydra.show_cfg(self.config_name, given, flags.cfg, flags.package, flags.resolve)
        else:
            mode = RunMode.MULTIRUN if flags.multirun else RunMode.RUN
            self._hydra.show_info(flags.info, self.config_name, given, mode)

    def _context(self) -> HydraContext:
        return HydraContext(config_loader=self._loader, callbacks=Callbacks())


def compose(overrides: Sequence[str]) -> DictConfig:
    """The config of these overrides (canonical names), as a command would compose it; unresolved."""
    with Composer() as composer:
        return composer.compose(overrides)


def resolve(composed: DictConfig) -> dict[str, Any]:
    """A composed config as plain values, every interpolation resolved.

    Raises `UserError` for a mandatory value that is missing and an interpolation that leads nowhere.
    """
    check_growth(typing.cast(dict[str, object], OmegaConf.to_container(composed, enum_to_str=True)))
    try:
        if missing := sorted(OmegaConf.missing_keys(composed)):
            raise UserError("\n".join(f"{key}: missing, and it has no default; give {key}=..." for key in missing))
        plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True, enum_to_str=True)
    except (OmegaConfBaseException, MissingMandatoryValue) as error:
        reason = re.sub(r"^\w+Error raised while resolving interpolation: ", "", str(error).splitlines()[0])
        raise UserError(f"{error.full_key or 'config'}: {reason}") from error
    assert isinstance(plain, dict)
    found = typing.cast(dict[str, Any], plain)
    check_secrets(found, os.environ)
    return found


def current_job() -> tuple[dict[str, str], list[str]]:
    """Of the job that Hydra runs: the option of each of our groups, and its overrides without Hydra's own.

    Raises `UserError` where a group has several options.
    """
    job = HydraConfig.get()
    chosen = {group: job.runtime.choices[group] for group in GROUPS if group in job.runtime.choices}
    if several := [group for group, option in chosen.items() if option is not None and not isinstance(option, str)]:
        raise UserError(f"{several[0]}: expected one option; --multirun {several[0]}=A,B runs several")
    typed = typing.cast(list[str], OmegaConf.to_container(job.overrides.task, resolve=False))
    overrides = [override.lstrip("+") for override in typed]
    return {group: option for group, option in chosen.items() if option is not None}, overrides


def is_of_hydra(override: str) -> bool:
    """Whether an override is one of Hydra's own settings."""
    name = override.lstrip("+~")
    return name.startswith(("hydra.", "hydra/", "hydra=", "hydra@"))


def flags_of_hydra() -> argparse.ArgumentParser:
    """The parser of Hydra's flags."""
    return get_args_parser()


def parse(override: str) -> Override:
    """An override as Hydra reads it, a glob left unexpanded."""
    return OverridesParser.create().parse_overrides([override])[0]


def failure(returned: JobReturn) -> Exception | None:
    """How a job failed."""
    return typing.cast(Exception, returned._return_value) if returned.status is JobStatus.FAILED else None


def failed(error: Exception) -> JobReturn:
    """A job that failed so, though no launcher tells it."""
    returned = JobReturn(status=JobStatus.FAILED)
    returned.return_value = error
    return returned


def _refuse_what_is_not_kept(composed: DictConfig) -> None:
    if composed.hydra.job.chdir:
        raise UserError(
            "hydra.job.chdir=true: a run stays in the folder of its command, so that output_dir and data.root mean the "
            "same for all; leave it out"
        )
    if composed.hydra.callbacks:
        names = ", ".join(composed.hydra.callbacks)
        raise UserError(f"hydra.callbacks: ablate calls none, and {names} would run code; leave it out")
    if composed.hydra.job.env_set:
        names = ", ".join(composed.hydra.job.env_set)
        raise UserError(
            f"hydra.job.env_set: a plan is made before a run could set {names}; set it before the command: "
            "NAME=value ablate ..."
        )
    chosen = composed.hydra.runtime.choices.get("hydra/sweeper")
    if chosen == OUR_SWEEPER and composed.hydra.sweeper:
        found = ", ".join(f"hydra.sweeper.{name}" for name in composed.hydra.sweeper)
        raise UserError(
            f"{found}: levels stand on the command line (arch=cylinder,pyramid), or in a study's file of your own, "
            "conf/study/NAME.yaml, under factors"
        )


def _check_installed(composed: DictConfig) -> None:
    """Raise `UserError` where the plugin of one of our launchers is missing."""
    chosen, target = composed.hydra.runtime.choices["hydra/launcher"], str(composed.hydra.launcher._target_)
    package = ".".join(target.split(".")[:2])
    if package.startswith("hydra_plugins.") and importlib.util.find_spec(package) is None:
        raise UserError(f"hydra/launcher={chosen}: is not installed; pip install 'ablate[{chosen}]'")


def _refuse_unknown_additions(overrides: Sequence[str]) -> None:
    """Hydra takes whatever is added to its own node."""
    inner: dict[str, Any] = {"job": JobConf, "run": RunDir, "sweep": SweepDir}
    known = [*HydraConf.__dataclass_fields__]
    for override in overrides:
        name = name_of(override)
        parts = name.split(".")
        if not override.startswith("+") or parts[0] != "hydra" or len(parts) < 2:
            continue
        if parts[1] not in known:
            raise UserError(f"{name}: unknown key; {nearest(parts[1], known)}")
        if parts[1] in inner and len(parts) > 2 and parts[2] not in inner[parts[1]].__dataclass_fields__:
            raise UserError(f"{name}: unknown key; {nearest(parts[2], inner[parts[1]].__dataclass_fields__)}")


def _paths(override: str) -> list[str]:
    found = parse(override).value()
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise UserError(f"{override}: expected a list of folders: '{_SEARCHPATH}=[file:///my/conf]'")
    return [str(each) for each in found]


def _absolute(key: str, folder: str) -> str:
    """A folder of configs as Hydra names it, wherever the command goes from here."""
    if "://" in folder and not folder.startswith("file://"):
        return folder  # of a Python package
    path = Path(folder.removeprefix("file://")).expanduser().resolve()
    if not path.is_dir():
        raise UserError(f"{key}={folder}: expected a folder, found {'a file' if path.exists() else 'nothing'}")
    return f"file://{path}"
