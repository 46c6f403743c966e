"""Where configs lie: our own, and those of the folder in which a command is given."""

from __future__ import annotations

from pathlib import Path

from ablate.config.settings import GROUPS

PRIMARY = "config"
"""The name of the config that all others are put into."""


def conf_dir() -> Path:
    """The folder of our own configs: in a checkout at its top, in an installed wheel inside the package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "conf"
    in_checkout = (package.parent / "pyproject.toml").is_file() and (checkout / f"{PRIMARY}.yaml").is_file()
    return checkout if in_checkout else package / "conf"


def user_conf_dir() -> Path | None:
    """The user's own `conf/` in the current folder, where it holds options or a primary config, and is not ours."""
    own = Path("conf").resolve()
    if own == conf_dir().resolve() or not own.is_dir():
        return None
    is_ours = any((own / group).is_dir() for group in (*GROUPS, "study", "experiment"))
    has_primary = any(file.stem != PRIMARY for file in own.glob("*.yaml"))
    return own if is_ours or has_primary or any(own.glob("*/**/*.yaml")) else None


def options(group: str) -> list[str]:
    """The names of a group's options, ours and the user's."""
    folders = [folder for folder in (conf_dir(), user_conf_dir()) if folder]
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})
