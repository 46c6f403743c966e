"""Which folder of configs is the user's own."""

import shutil
from pathlib import Path

import pytest

from ablate.config.compose import Composer
from ablate.config.folder import conf_dir, options, user_conf_dir
from ablate.error import UserError


@pytest.mark.parametrize(
    ("file", "is_own"),
    [
        ("conf/arch/mine.yaml", True),
        ("conf/loss/mine.yaml", True),  # any folder of options
        ("conf/deep/er/mine.yaml", True),
        ("conf/mine.yaml", True),  # a primary config
        ("conf/config.yaml", False),  # another program's
        ("conf/notes.txt", False),
        ("elsewhere/arch/mine.yaml", False),
    ],
)
def test_own_folder(file: str, is_own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("a: 1\n")
    monkeypatch.chdir(tmp_path)
    assert user_conf_dir() == (tmp_path / "conf" if is_own else None)


def test_ours_is_never_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(conf_dir().parent)
    assert user_conf_dir() is None


def test_a_clone_beside_an_installed_copy_is_taken_for_ours_until_it_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(conf_dir(), tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    assert user_conf_dir() is None
    changed = tmp_path / "conf/optimizer/sgd.yaml"
    changed.write_text(changed.read_text() + "# mine\n")
    assert user_conf_dir() == tmp_path / "conf"
    with pytest.raises(UserError, match=r"config\.yaml: it would replace ablate's own; put options into "), Composer():
        pass
    (tmp_path / "ablate").mkdir()
    (tmp_path / "ablate/__init__.py").touch()
    with pytest.raises(UserError, match=f"install it in place: uv pip install -e {tmp_path}"), Composer():
        pass
    shutil.copyfile(conf_dir() / "optimizer/sgd.yaml", changed)
    (tmp_path / "conf/optimizer/mine.yaml").touch()
    assert user_conf_dir() == tmp_path / "conf", "an option more is the user's"


def test_options_are_ours_and_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/optimizer").mkdir(parents=True)
    (tmp_path / "conf/optimizer/lion.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert {"adamw", "lion", "sgd"} <= set(options("optimizer"))
