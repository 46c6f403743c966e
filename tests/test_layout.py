"""conf/ mirrors ablate/recipe/, tests/ mirror ablate/, and pure decisions stay pure."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.compose import GROUPS

ROOT = Path(__file__).parents[1]


def test_every_group_has_a_module_and_every_module_a_group() -> None:
    recipe = {path.stem for path in (ROOT / "ablate/recipe").iterdir() if not path.name.startswith("_")}
    conf = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()} - {"hydra", "study"}
    assert recipe == conf == set(GROUPS)


def test_every_option_names_a_callable_of_its_groups_module() -> None:
    for file in (file for group in GROUPS for file in (ROOT / "conf" / group).glob("*.yaml")):
        lines = file.read_text().splitlines()
        assert lines[0].startswith("# "), f"{file} does not say what it is"
        targets = [line.split(": ")[1] for line in lines if line.startswith("_target_")]
        assert targets or "defaults:" in lines[1], file
        assert all(target.startswith(f"ablate.recipe.{file.parent.name}.") for target in targets), file


def test_every_key_of_an_option_says_its_unit_or_meaning() -> None:
    for file in (file for group in GROUPS for file in (ROOT / "conf" / group).glob("*.yaml")):
        for line in file.read_text().splitlines()[1:]:
            if not line.startswith(("_target_", "defaults:", " ", "#", "-")):
                assert " # " in line, f"{file}: {line}"


def test_the_readme_lists_every_option_and_says_when_to_try_it() -> None:
    readme = (ROOT / "README.md").read_text()
    groups, when = readme.split("## Which option when")
    when = when.split("\n## ")[0]
    for group in GROUPS:
        row = next(line for line in groups.splitlines() if line.startswith(f"| `{group}`"))
        listed = re.findall(r"`(\w+)`", row.split("|")[2])
        assert sorted(listed) == sorted(file.stem for file in (ROOT / "conf" / group).glob("*.yaml")), group
        if group != "data":
            lines = when.split(f"**{group}**")[1].split("\n**")[0].splitlines()
            explained = [option for line in lines for option in re.findall(r"`(\w+)`", line.split(" | ")[0])]
            assert set(listed) <= set(explained), group


def test_every_test_file_mirrors_a_module() -> None:
    ours = {"test_layout.py", "test_conf.py", "test_wheel.py"}
    for test in (ROOT / "tests").rglob("test_*.py"):
        if test.name not in ours:
            module = ROOT / "ablate" / test.relative_to(ROOT / "tests").with_name(test.name.removeprefix("test_"))
            assert module.exists() or module.with_suffix("").is_dir(), f"{test} tests no module"


def test_pure_decisions_know_neither_torch_nor_wandb_nor_hydra() -> None:
    for file in [*(ROOT / "ablate/study").glob("*.py"), ROOT / "ablate/record/key.py"]:
        for line in file.read_text().splitlines():
            assert not re.match(r"(from|import) (torch|wandb|hydra|omegaconf|os|pathlib|ablate\.record)\b", line), file


@pytest.mark.parametrize(
    "module",
    [
        "ablate.run",
        "ablate.sweep",
        "ablate.record.key",
        "ablate.recipe.data.hw1p2",
        "ablate.recipe.data.aligned",
        "ablate.compose",
        "hydra_plugins.ablate_sweeper",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(module: str) -> None:
    heavy = ("torch", "wandb", "torchaudio", "scipy", "matplotlib", "soundfile", "praatio")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
