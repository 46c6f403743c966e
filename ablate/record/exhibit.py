"""What a run's window shows beside its numbers: what was taken for what, phoneme by phoneme, and the best model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_COLUMNS: list[str | int] = ["phoneme", "frames", "recall", "precision", "most taken for", "share taken so"]


def log(run: Any, counts: npt.NDArray[np.int64], names: Sequence[str]) -> None:
    """Show counts (true class, predicted class) in an open window: as a chart, and as a table by phoneme."""
    import wandb

    pairs = [
        [names[true], names[predicted], int(counts[true, predicted])]
        for true in range(len(names))
        for predicted in range(len(names))
    ]
    chart = wandb.plot_table(
        "wandb/confusion_matrix/v1",
        wandb.Table(columns=["Actual", "Predicted", "nPredictions"], data=pairs),
        fields={"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"},
        string_fields={"title": "validation frames, best epoch"},
    )
    run.log({"confusion": chart, "phonemes": wandb.Table(columns=_COLUMNS, data=by_phoneme(counts, names))})


def by_phoneme(counts: npt.NDArray[np.int64], names: Sequence[str]) -> list[list[Any]]:
    """A row a phoneme: its frames, recall, precision, what it was most taken for instead, and how often.

    >>> import numpy as np
    >>> by_phoneme(np.array([[3, 1], [0, 0]]), ["AA", "AE"])
    [['AA', 4, 0.75, 1.0, 'AE', 0.25], ['AE', 0, None, 0.0, None, None]]
    """
    rows: list[list[Any]] = []
    for number, name in enumerate(names):
        row = counts[number].copy()
        frames, correct, taken = int(row.sum()), int(row[number]), int(counts[:, number].sum())
        row[number] = 0
        other = int(row.argmax())
        is_confused = bool(row[other])
        rows.append(
            [
                name,
                frames,
                correct / frames if frames else None,
                correct / taken if taken else None,
                names[other] if is_confused else None,
                int(row[other]) / frames if is_confused else None,
            ]
        )
    return rows


def keep_model(run: Any, path: Path, key: str) -> None:
    """Upload the weights of the best epoch as an artifact of type `model`, named by the run's key."""
    import wandb

    artifact = wandb.Artifact(f"model-{key}", type="model")
    artifact.add_file(str(path), name=path.name)
    run.log_artifact(artifact, aliases=["best"])
