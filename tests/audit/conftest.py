"""What the tests of audits share: a sound corpus as files, copied for each that plants something in it."""

import shutil
from pathlib import Path

import pytest

from tests.audit.planted import write_sound


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, corpus_cache: Path) -> Path:
    """The embedded tiny corpus in the course's layout."""
    return write_sound(tmp_path_factory.mktemp("sound") / "root", corpus_cache)


@pytest.fixture
def root(tmp_path: Path, sound: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(sound, tmp_path / "root"))
