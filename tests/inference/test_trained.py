"""A run's model is whole: its record alone gives what it gave on validation, and runs no code."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from ablate.config.check import instantiate
from ablate.error import UserError
from ablate.inference import portable
from ablate.inference.predicted import Predicted, predicted
from ablate.inference.trained import Trained
from ablate.recipe.data.cache import Recordings
from ablate.recipe.data.corpus import Split
from ablate.run import command
from tests.trainings import checked

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(tiny: list[str], *overrides: str) -> Path:
    """A run's folder."""
    given = {each.partition("=")[0]: each for each in [*tiny, *overrides]}
    assert command(list(given.values())) == 0
    (found,) = sorted(Path("outputs/runs").iterdir(), key=lambda run: (run / "result.json").stat().st_mtime)[-1:]
    return found


def recordings(split: Split) -> Recordings:
    corpus = instantiate(checked(["data=espeak_tiny"]), "data")
    found: Recordings = corpus.load(split, seed=0, cache=Path("outputs/cache"), track=lambda items, total, title: items)
    return found


def said(*models: Trained, split: Split = "val") -> Predicted:
    return predicted(
        models, recordings(split), "average", (CPU, lambda model: nullcontext), lambda items, total, title: items
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["normalization=zscore"],
        ["normalization=minmax", "arch=pyramid", "arch.depth=2"],
        ["normalization=cmn_sliding", "data.boundary=bleed"],
        ["normalization=none", "data.dtype=bf16", "regularization=dropout"],
        ["averaging=ema", "epochs=2"],
    ],
)
def test_the_record_alone_gives_the_accuracy_that_was_recorded(
    overrides: list[str], tiny: list[str], folder: Path
) -> None:
    run = trained(tiny, *overrides)
    shutil.copytree(run, folder / "elsewhere" / run.name)  # all that a team-mate gets
    model = Trained.of(folder / "elsewhere" / run.name)
    found = said(model)
    assert found.correct is not None and found.accuracy(found.correct) == model.accuracy


def test_an_utterance_by_itself_is_as_in_its_split(tiny: list[str], folder: Path) -> None:
    model = Trained.of(trained(tiny, "normalization=zscore"))
    whole = said(model).classes
    start = 0
    for features, labels in recordings("val").utterances():
        table = model.table_of(features)
        (logits,) = model.logits(table, CPU, nullcontext)
        assert torch.equal(logits.argmax(1).to(torch.uint8), whole[start : start + len(labels)])
        start += len(labels)


def test_data_of_another_width_are_refused(tiny: list[str], folder: Path) -> None:
    model = Trained.of(trained(tiny))
    with pytest.raises(UserError, match="trained on 28 coefficients a frame, found 13"):
        model.table_of(torch.zeros(5, 13))
    with pytest.raises(UserError, match=r"features: expected \(frames, mfcc\), found \(28,\)"):
        model.table_of(torch.zeros(28))


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (Path("made"),)


def test_a_hostile_or_damaged_file_is_named_and_runs_nothing(tiny: list[str], folder: Path) -> None:
    run = trained(tiny)
    content = portable.read(run)
    result = json.loads((run / "result.json").read_text())
    (run / "best.pt").write_bytes((run / "best.pt").read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"best.pt: not the file that the run wrote"):
        _ = Trained.of(run).model
    (run / "result.json").write_text(json.dumps({**result, "files": {}}))  # as a liar would have it
    for wrong, why in (
        (Evil(), "inference.pt: "),
        ({**content, "key": "0" * 16}, "of the run 0000000000000000"),
        ({**content, "context": 10**9}, "context"),
        ({name: value for name, value in content.items() if name != "statistics"}, "statistics"),
        ([1], "inference.pt: "),
    ):
        torch.save(wrong, run / "inference.pt")
        with pytest.raises(UserError, match=why):
            Trained.of(run)
    for node in ({"_target_": "os.system", "command": "touch made"}, {**content["arch"], "_target_": "torch.load"}):
        torch.save({**content, "arch": node}, run / "inference.pt")
        with pytest.raises(UserError, match=r"expected a public callable of ablate\.recipe\.arch"):
            _ = Trained.of(run).model
    torch.save({**content, "arch": {**content["arch"], "width": 1_000_000}}, run / "inference.pt")
    with pytest.raises(UserError, match=r"best.pt"):
        _ = Trained.of(run).model
    (run / "inference.pt").unlink()
    with pytest.raises(UserError, match=r"inference.pt: not there"):
        Trained.of(run)
    assert not Path("made").exists()


def test_only_a_run_with_a_model_has_one_to_use(tiny: list[str], folder: Path) -> None:
    run = trained(tiny, "optim=sgd", "optim.lr=1e30")
    with pytest.raises(UserError, match="diverged before an epoch was validated"):
        Trained.of(run)
    with pytest.raises(UserError, match="no finished run"):
        Trained.of(run.with_name("0" * 16))
