"""Studies as they are recorded, without having been trained."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.__main__ import main
from ablate.record.layout import Layout


def _count(folder: Path, accuracy: float, seed: int) -> None:
    frames = np.random.default_rng(0).integers(100, 300, 24)  # the same utterances for all
    draw = np.random.default_rng(seed)
    correct = np.minimum(frames, np.round(frames * (accuracy + 0.05 * draw.standard_normal(24))).astype(int))
    lines = [f"utt{i},{correct[i]},{frames[i]},spk{i % 8}" for i in range(24)]
    (folder / "utterances.csv").write_text("\n".join(["name,correct,frames,speaker", *lines, ""]))
    confusion = draw.multinomial(1000, np.full(40, 1 / 40), 40)
    np.fill_diagonal(confusion, round(1000 * accuracy))
    np.save(folder / "confusion.npy", confusion)


def recorded(
    output_dir: Path,
    accuracies: Mapping[str, Sequence[float | str | None]],
    *,
    name: str = "shapes",
    machines: Sequence[str] = (),
    with_counts: bool = False,
    **plan: Any,
) -> Layout:
    """A study's plan and its runs: an arm a row, a seed a column; None diverged, "" is missing, "x" failed.

    `with_counts`: runs that have an accuracy have confusions and utterances of 8 speakers too, which agree with it.
    """
    places = Layout(output_dir)
    cells = []
    for number, (arm, row) in enumerate(accuracies.items()):
        for seed, accuracy in enumerate(row):
            key = f"{number:08x}{seed:08x}"
            cells.append(
                {"key": key, "arm": arm, "seed": seed, "member": 1, "overrides": [*arm.split(","), f"seed={seed}"]}
            )
            if accuracy == "":
                continue
            folder = places.run(key)
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(accuracy, str):
                (folder / "error.txt").write_text("Traceback")
                continue
            metrics = {
                "val/accuracy": accuracy,
                "val/loss": None if accuracy is None else 1 - accuracy,
                "best_epoch": 2,
            }
            machine = {"name": machines[seed] if machines else "here", "device": "cpu"}
            result = {
                "key": key, "status": "diverged" if accuracy is None else "finished", "metrics": metrics, "seed": seed,
                "machine": machine, "num_params": 1000 * (number + 1), "epochs": 2, "seconds": 1.5,
            }  # fmt: skip
            (folder / "result.json").write_text(json.dumps(result))
            if with_counts and accuracy is not None:
                _count(folder, accuracy, 97 * number + seed)
            rows = [{"epoch": epoch, "val/accuracy": accuracy and accuracy * epoch / 2} for epoch in (1, 2)]
            (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    content: dict[str, Any] = {
        "study": name, "plan_id": "babab-dudud", "design": "grid", "baseline": next(iter(accuracies)), "cells": cells,
        "question": None, "factors": {}, "seeds": [], "margin": None, "aliases": [], "size": 1,
    }  # fmt: skip
    places.study(name).mkdir(parents=True, exist_ok=True)
    places.plan(name).write_text(json.dumps(content | plan))
    return places


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says that ends well."""
    assert main([*arguments]) == 0
    return capsys.readouterr().out
