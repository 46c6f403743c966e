"""Every notebook runs from top to bottom, as its reader runs it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
CURSOR = re.compile(r"\x1b\[\d*[ABCDEFGHJKST]|\x1b\[\?25|\r(?!\n)")

Outputs = dict[str, str]


def read(name: str) -> nbformat.NotebookNode:
    found: nbformat.NotebookNode = nbformat.read(FOLDER / name, as_version=4)  # type: ignore[no-untyped-call]
    return found


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Outputs]:
    """What each cell of the first evening shows, by its id, as text; the page as HTML."""
    notebook = read("first_evening.ipynb")
    folder = tmp_path_factory.mktemp("evening")
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    assert os.listdir(folder) == ["outputs"]  # noqa: PTH208
    yield {cell["id"]: "".join(map(shown, cell["outputs"])) for cell in notebook.cells if cell["cell_type"] == "code"}


def shown(output: nbformat.NotebookNode) -> str:
    if "text" in output:
        return str(output["text"])
    data = output["data"]
    return str(data["text/html"] if "<iframe" in data.get("text/html", "") else data["text/plain"])


def test_the_run_tells_its_accuracy(outputs: Outputs) -> None:
    told = re.search(r"([0-9a-f]{16}): accuracy (0\.\d{4}), [\d,]+ parameters", outputs["run"])
    assert told and 0.2 < float(told[2]) < 0.9
    assert outputs["history"].count("\n") == 2 and "val/accuracy" in outputs["history"]


def test_the_corpus_is_sound(outputs: Outputs) -> None:
    assert "nothing is found wrong" in outputs["corpus"]


def test_the_study_has_verdicts_and_its_report_is_shown(outputs: Outputs) -> None:
    assert len(re.findall(r"\[\d/9", outputs["study"])) == 9 and "verdict" in outputs["study"]
    assert "normalization=zscore" in outputs["verdicts"] and "normalization=none" in outputs["verdicts"]
    assert re.search("better|worse|equivalent|undecided", outputs["verdicts"])
    assert outputs["runs"].count("finished") == 9
    assert "<iframe srcdoc=" in outputs["report"]
    assert "normalization=none" in outputs["report"] and "&lt;html" in outputs["report"]


def test_the_best_run_predicts_every_frame(outputs: Outputs) -> None:
    told = re.search(r"submission\.csv \(([\d,]+) frames", outputs["predict"])
    assert told and f"{told[1]} rows" in outputs["submission"] and "label" in outputs["submission"]


def test_no_cell_is_filled_with_progress(outputs: Outputs) -> None:
    for name, text in outputs.items():
        if name != "report":
            assert len(text) < 5000 and not CURSOR.search(text), (name, text)


def test_what_is_for_colab_alone_does_nothing_elsewhere(outputs: Outputs) -> None:
    assert outputs["drive"] == outputs["install"] == ""


@pytest.mark.parametrize("notebook", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(notebook: Path) -> None:
    for cell in read(notebook.name).cells:
        assert not cell.get("outputs") and not cell.get("execution_count")
