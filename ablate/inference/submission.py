"""What is handed in: a label for each frame of the test split, and what the model is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ablate.inference.trained import Trained

Labels = Literal["phonemes", "indices"]


def in_file_order(classes: np.ndarray, names: Sequence[str], lengths: Sequence[int]) -> np.ndarray:
    """The classes (frames,) of utterances with these names and numbers of frames, in the order of their sorted files.

    >>> in_file_order(np.array([1, 2, 2]), ["z-1", "z-1-2"], [1, 2])  # as z-1-2.npy comes before z-1.npy
    array([2, 2, 1])
    """
    pieces = np.split(classes, np.cumsum(lengths)[:-1])
    order = sorted(range(len(names)), key=lambda place: f"{names[place]}.npy")
    return np.concatenate([pieces[place] for place in order])


def csv(classes: np.ndarray, names: Sequence[str], labels: Labels) -> bytes:
    r"""`id,label`, a row a frame, in the order of the sorted files; the label is a phoneme, or its index.

    >>> csv(np.array([1, 0]), ["SIL", "AA"], "phonemes")
    b'id,label\n0,AA\n1,SIL\n'
    """
    shown = np.array(names)[classes] if labels == "phonemes" else classes
    rows = "".join(f"{number},{label}\n" for number, label in enumerate(shown.tolist()))
    return f"id,label\n{rows}".encode()


def hand_in(models: Sequence[Trained], num_params: int) -> dict[str, Any]:
    """What the course asks for beside the predictions: how many parameters there are, and in which layers."""
    return {
        "parameter_count": num_params,
        "model_architecture": [str(each.model) for each in models],
        "runs": [
            {
                "key": each.folder.name,
                "parameter_count": each.num_params,
                "layers": each.result.get("layers"),
                "val/accuracy": each.accuracy,
                "overrides": each.result.get("overrides"),
            }
            for each in models
        ],
    }
