"""The rules of the house: conf/ mirrors ablate/recipe/, tests/ mirror ablate/, floors, and what may know of what."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from ablate.__main__ import COMMANDS
from ablate.config.settings import GROUPS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FLOORS = [
    # The commands.
    "__main__ run search audit resume status collect predict sync next confirm decide help bench".split(),
    ["multirun", "api"],
    ["training", "report"],
    ["command", "inference"],
    ["config"],
    ["study"],
    ["recipe", "record"],
    ["error", "file", "quantity", "display", "interruption", "page"],
]
"""From the top down; who stands on a floor takes from lower ones, and from its own room."""

COVERED_ELSEWHERE = {
    "audit/copies.py": "audit/test_main.py",
    "audit/features.py": "audit/test_main.py",
    "audit/files.py": "audit/test_main.py",
    "audit/finding.py": "audit/test_main.py",
    "audit/judging.py": "audit/test_main.py",
    "audit/labels.py": "audit/test_main.py",
    "audit/picture.py": "audit/test_page.py",
    "audit/words.py": "audit/test_main.py",
    "collect/gap.py": "test_collect.py",
    "collect/merge.py": "test_collect.py",
    "collect/plans.py": "test_collect.py",
    "collect/source.py": "test_collect.py",
    "collect/__main__.py": "test_collect.py",
    "command/frame.py": "test_run.py",
    "confirm.py": "test_resume.py",
    "decide.py": "report/test_decisions.py",
    "multirun/again.py": "test_resume.py",
    "next.py": "report/test_decisions.py",
    "search.py": "multirun/test_search.py",
    "report/confirmation.py": "test_resume.py",
    "bench/staging.py": "study/test_stage.py",
    "command/refusal.py": "command/test_diagnosis.py",
    "config/repository.py": "config/test_own.py",
    "display/output.py": "display/test_terminal.py",
    "config/settings.py": "config/test_check.py",
    "config/spelling.py": "command/test_diagnosis.py",
    "bench/__main__.py": "test_bench.py",
    "interruption.py": "test_run.py",
    "quantity.py": "config/test_check.py",
    "bench/data.py": "test_bench.py",
    "bench/faults.py": "test_bench.py",
    "bench/following.py": "study/test_following.py",
    "bench/histories.py": "multirun/test_claiming.py",
    "bench/kills.py": "test_bench.py",
    "bench/gpu.py": "test_bench.py",
    "bench/made.py": "test_bench.py",
    "bench/speed.py": "test_bench.py",
    "bench/start.py": "test_bench.py",
    "bench/mistake.py": "test_bench.py",
    "inference/portable.py": "inference/test_trained.py",
    "inference/predicted.py": "inference/test_trained.py",
    "inference/submission.py": "test_predict.py",
    "bench/starter.py": "test_bench.py",
    "bench/study.py": "test_bench.py",
    "bench/verdicts.py": "test_bench.py",
    "recipe/data/espeak/acoustics.py": "recipe/data/test_espeak.py",
    "recipe/data/espeak/alignment.py": "recipe/data/test_espeak.py",
    "recipe/data/espeak/engine.py": "recipe/data/test_espeak.py",
    "recipe/data/espeak/format.py": "recipe/data/test_espeak.py",
    "recipe/data/espeak/sentence.py": "recipe/data/test_espeak.py",
    "recipe/data/aligned/tree.py": "recipe/data/test_aligned.py",
    "recipe/data/corpus.py": "record/test_key.py",
    "recipe/data/fault.py": "recipe/data/test_hw1p2.py",
    "recipe/data/mfcc.py": "recipe/data/test_aligned.py",
    "recipe/data/paired.py": "recipe/data/test_installed.py",
    "record/exhibit.py": "record/test_tracking.py",
    "record/patience.py": "record/test_lookup.py",
    "record/status.py": "record/test_store.py",
    "record/upload.py": "test_sync.py",
    "record/wandb_api.py": "test_sync.py",
    "multirun/space.py": "multirun/test_search.py",
    "record/layout.py": "record/test_store.py",
    "report/files.py": "report/test_main.py",
    "report/picture.py": "report/test_main.py",
    "report/words.py": "report/test_main.py",
    "status.py": "report/test_main.py",
    "study/model.py": "study/test_verdict.py",
    "training/checkpoint.py": "training/test_loop.py",
    "training/data.py": "training/test_prepare.py",
    "training/job.py": "test_run.py",
    "training/run.py": "test_run.py",
    "training/session.py": "training/test_prepare.py",
    "training/step.py": "training/test_loop.py",
    "training/stream.py": "training/test_loop.py",
}
"""Modules without a test file of their own name, and the one that tests them."""

TESTS_OF_THE_WHOLE = {"test_layout.py", "test_conf.py", "test_wheel.py", "test_notebook.py", "test_tutorial.py"}


def modules() -> list[Path]:
    return sorted((ROOT / "ablate").rglob("*.py"))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports, under any indentation and condition; names taken from a package included."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{file}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def own_imports(file: Path) -> set[str]:
    """Our own modules that a file imports."""
    names = {module_name(each) for each in modules()}
    return {name for name in imports(file) if name in names and name != "ablate"}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__main__"


def test_every_room_has_its_floor_and_no_arrow_leads_upward_or_across() -> None:
    floor = {name: number for number, rooms in enumerate(FLOORS) for name in rooms}
    assert len(FLOORS) <= 8
    assert {room(module_name(file)) for file in modules() if module_name(file) != "ablate"} == set(floor)
    for file in modules():
        for imported in own_imports(file):
            here, there = room(module_name(file)), room(imported)
            assert here == there or floor[there] > floor[here], f"{file} imports {imported}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    arrows = {module_name(file): own_imports(file) - {module_name(file)} for file in modules()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a circle: {' -> '.join([*way[way.index(module) :], module])}"
        if module not in done:
            for imported in sorted(arrows[module]):
                visit(imported, (*way, module))
            done.add(module)

    for module in arrows:
        visit(module, ())


def test_pure_decisions_know_neither_torch_nor_disk_nor_wandb() -> None:
    impure = {"torch", "torchaudio", "wandb", "hydra", "omegaconf", "os", "pathlib", "shutil", "subprocess", "tempfile"}
    pure = [
        *(ROOT / "ablate/study").glob("*.py"),
        *((ROOT / "ablate/record" / name) for name in ("key.py", "status.py")),
    ]
    for file in pure:
        assert not {name.split(".")[0] for name in imports(file)} & impure, file
        calls = [
            node.func.id
            for node in ast.walk(tree(file))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert "open" not in calls, file


def test_recipes_know_neither_studies_nor_records_nor_wandb() -> None:
    for file in (ROOT / "ablate/recipe").rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(file)} & {"wandb", "hydra", "omegaconf"}, file
        assert all(name.split(".")[1] in ("recipe", *FLOORS[-1]) for name in own_imports(file)), file


def test_only_the_composer_and_its_files_know_hydras_inside() -> None:
    for file in modules():
        inside = [name for name in imports(file) if name.startswith("hydra.") and "._" in name]
        knowing = ("compose.py", "loader.py", "repository.py")
        assert not inside or file.relative_to(ROOT / "ablate/config").name in knowing, (file, inside)


def test_only_the_layout_names_files_of_records() -> None:
    constants = [
        node.value for node in ast.walk(tree(ROOT / "ablate/record/layout.py")) if isinstance(node, ast.Constant)
    ]
    names = {value for value in constants if isinstance(value, str) and re.fullmatch(r"[a-z]+\.[a-z]+", value)}
    assert {"result.json", "metrics.jsonl", "plan.json", "lease.json"} <= names
    for file in modules():
        if file.name != "layout.py":
            for node in ast.walk(tree(file)):
                found = isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
                assert not found or file.parent.name == "bench", f"{file}: {ast.unparse(node)}"


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_are_held_in_the_head() -> None:
    """At most 60 lines and five parameters of their own; a recipe's keyword-only ones are its YAML's keys."""
    for file in modules():
        is_recipe = (ROOT / "ablate/recipe") in file.parents
        for function in functions(file):
            assert (function.end_lineno or 0) - function.lineno < 60, f"{file}: {function.name} is too long"
            given = function.args
            own = [*given.posonlyargs, *given.args, *([] if is_recipe else given.kwonlyargs)]
            names = [each.arg for each in own if each.arg not in ("self", "cls")]
            assert len(names) <= 5, f"{file}: {function.name}({', '.join(names)})"


def test_no_state_outlives_a_command() -> None:
    """Neither a class nor a module holds a container that is filled later; caches are of pure functions."""
    for file in modules():
        for node in ast.walk(tree(file)):
            assert not (isinstance(node, ast.Name) and node.id == "ClassVar"), f"{file}: a class that carries state"
            assert not isinstance(node, ast.Global), f"{file}: a global that changes"
        for statement in tree(file).body:
            if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Dict | ast.List):
                empty = not (statement.value.keys if isinstance(statement.value, ast.Dict) else statement.value.elts)
                constant = all(
                    target.id.isupper()
                    for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
                    if isinstance(target, ast.Name)
                )
                assert constant or not empty, f"{file}, line {statement.lineno}: a module's own state"


def test_every_public_function_says_what_it_does_and_has_types() -> None:
    for file in modules():
        for function in functions(file):
            if not function.name.startswith("_"):
                nested = not any(function in getattr(parent, "body", []) for parent in [tree(file), *classes(file)])
                assert nested or ast.get_docstring(function) or is_overridden(function), f"{file}: {function.name}"
                assert function.returns is not None, f"{file}: {function.name}"


def classes(file: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(tree(file)) if isinstance(node, ast.ClassDef)]


def is_overridden(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A method that is known from the class it belongs to, as of torch and rich."""
    return function.name in ("forward", "on_broken_pipe")


def test_every_test_file_mirrors_a_module_and_every_module_has_its_test() -> None:
    tests = {str(test.relative_to(ROOT / "tests")) for test in (ROOT / "tests").rglob("test_*.py")}
    mirrored, bare = set(), []
    for file in modules():
        path = file.relative_to(ROOT / "ablate")
        if path.name.startswith("__") and path.name != "__main__.py":
            path = path.parent
        own = str(path.with_name(f"test_{path.stem.strip('_')}.py")) if path.parts else ""
        if own in tests:
            mirrored.add(own)
            assert str(path) not in COVERED_ELSEWHERE, f"{path} has {own}"
        elif file.name != "__init__.py" and file.read_text().count("\n") > 1:
            where = COVERED_ELSEWHERE.get(str(file.relative_to(ROOT / "ablate")))
            if where is None:
                bare.append(str(path))
            assert where is None or where in tests, f"{path}: {where} is not there"
    assert not bare, "neither a test file of their name, nor in the list"
    packages = {str(folder.relative_to(ROOT / "ablate")) for folder in (ROOT / "ablate").rglob("*") if folder.is_dir()}
    for test in tests - mirrored - TESTS_OF_THE_WHOLE:
        package = str(Path(test).with_name(Path(test).stem.removeprefix("test_")))
        assert package in packages, f"{test} tests no module"


def test_every_group_has_a_module_and_every_module_a_group() -> None:
    recipe = {path.stem for path in (ROOT / "ablate/recipe").iterdir() if not path.name.startswith("_")}
    conf = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()} - {"hydra", "study", "experiment"}
    assert recipe == conf == set(GROUPS)


def test_every_option_names_a_callable_of_its_groups_module() -> None:
    for file in (file for group in GROUPS for file in (ROOT / "conf" / group).glob("*.yaml")):
        lines = file.read_text().splitlines()
        assert lines[0].startswith("# "), f"{file} does not say what it is"
        targets = [line.split(": ")[1] for line in lines if line.startswith("_target_")]
        assert targets or "defaults:" in lines[1], file
        assert all(target.startswith(f"ablate.recipe.{file.parent.name}.") for target in targets), file


def test_every_key_of_a_config_says_its_unit_or_meaning() -> None:
    for file in (file for group in GROUPS for file in (ROOT / "conf" / group).glob("*.yaml")):
        for line in file.read_text().splitlines()[1:]:
            if not line.startswith(("_target_", "defaults:", " ", "#", "-")):
                assert " # " in line, f"{file}: {line}"
    primary = (ROOT / "conf/config.yaml").read_text()
    settings = {name for name in yaml.safe_load(primary) if name not in ("defaults", "hydra")}
    for line in primary.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in settings or (
            line.startswith("  ") and value and not name.strip().startswith(("-", "run", "sw"))
        ):
            assert " # " in line or not value.strip(), f"conf/config.yaml: {line}"


def test_the_docs_list_every_option_and_say_when_to_try_it() -> None:
    groups, when = (ROOT / "docs/options.md").read_text().split("## Which option when")
    when = when.split("\n## ")[0]
    for group in GROUPS:
        row = next(line for line in groups.splitlines() if line.startswith(f"| `{group}`"))
        listed = re.findall(r"`(\w+)`", row.split("|")[2])
        assert sorted(listed) == sorted(file.stem for file in (ROOT / "conf" / group).glob("*.yaml")), group
        if group != "data":
            lines = when.split(f"**{group}**")[1].split("\n**")[0].splitlines()
            explained = [option for line in lines for option in re.findall(r"`(\w+)`", line.split(" | ")[0])]
            assert set(listed) <= set(explained), group


@pytest.mark.parametrize(
    "module",
    [
        "ablate.run",
        "ablate.__main__",
        "ablate.help",
        "ablate.audit.__main__",
        "ablate.multirun.sweep",
        "ablate.training.run",
        "ablate.record.key",
        "ablate.record.reading",
        "ablate.record.tracking",
        "ablate.record.lookup",
        "ablate.sync",
        "ablate.recipe.data.hw1p2",
        "ablate.recipe.data.aligned",
        "ablate.config.compose",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(module: str) -> None:
    heavy = ("torch", "wandb", "torchaudio", "scipy", "matplotlib", "soundfile")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_every_page_leads_to_pages_that_are_there_and_names_commands_and_keys_that_there_are() -> None:
    named = re.compile(r"(?m)^(?:uv run )?(?:python -m ablate\.|ablate )([a-z]+)\b(?![=.])")
    for page in PAGES:
        text = page.read_text()
        for link in re.findall(r"\]\((?!https?://|#)([^)]+)\)", text):
            assert (page.parent / link).exists(), f"{page}: {link}"
        for block in re.findall(r"(?s)```bash\n(.*?)```", text):
            assert set(named.findall(block)) <= set(COMMANDS), page
    linked = set(re.findall(r"\]\(docs/(\w+\.md)\)", (ROOT / "README.md").read_text()))
    assert linked == {page.name for page in PAGES} - {"README.md"}


def test_lists_are_quoted_for_every_shell() -> None:
    """zsh takes brackets for a pattern of file names: what is to be typed has quotes around it."""
    unquoted = re.compile(r"(?<![\w.'])[a-z_.]+=\[")
    for page in PAGES:
        for line in page.read_text().splitlines():
            assert not unquoted.search(line), f"{page}: {line}"
    for file in modules():
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and ">>>" not in node.value:
                assert not unquoted.search(node.value) or "The parts of" in node.value, f"{file}: {node.value}"


def test_the_top_level_is_what_the_readme_says() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
        named = {
            "pyproject.toml",
            "conf",
            "ablate",
            "tests",
            "outputs",
            "README.md",
            "CHANGELOG.md",
            "LICENSE",
            "docs",
            "notebooks",
        }
        assert tops - {".ci", ".gitignore"} <= named
