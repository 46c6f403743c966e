"""A built wheel holds all that the command needs, and works from an empty folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_wheel_works_from_an_empty_folder(tmp_path: Path, environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
        pages = {"ablate/report/page.html", "ablate/audit/audit.html", "ablate/page/base.html"}
        assert {"ablate/py.typed", "ablate/conf/config.yaml", *pages} <= set(archive.namelist())
    code = (
        "import ablate, sys; from ablate.run import command\n"
        f"assert ablate.__file__.startswith({str(site)!r}), ablate.__file__\n"
        "sys.exit(command(['data=espeak_tiny', 'epochs=1', 'arch.width=16', 'wandb.mode=disabled', 'optim=sgd']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=empty, env=environment | {"PYTHONPATH": str(site)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((empty / "outputs" / "runs").iterdir())) == 1
    assert os.listdir(empty) == ["outputs"]  # noqa: PTH208
