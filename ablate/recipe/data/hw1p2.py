"""A folder in the layout of CMU 11-785's HW1P2: `<split>/{mfcc,transcript}/<speaker>-<utterance>.npy`."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ablate.file import write_atomically
from ablate.quantity import PositiveFraction
from ablate.recipe.data.corpus import Boundary, Context, Split, Track
from ablate.recipe.data.phoneme import indices, without_boundaries
from ablate.recipe.data.subset import subset

if TYPE_CHECKING:
    from ablate.recipe.data.table import FrameTable

_SHOWN_FAULTS = 4
_ASKED_FILES = 25
_PARTS = ("mfcc", "transcript")


@dataclass(frozen=True, kw_only=True)
class HW1P2:
    """The course's corpus, or one of your own in its layout.

    An `mfcc` file is a float array (frames, mfcc), its `transcript` a string array (frames,), with or without
    boundary tokens at its ends. The number of coefficients and the spelling of silence are found in the files.
    """

    root: str
    train: str
    val: str
    context: Context
    fraction: PositiveFraction
    boundary: Boundary
    on_bad_utterance: Literal["error", "drop"]

    def fingerprint(self, cache: Path) -> str:
        """A hash over (split, relative name, size, content) of all files of both splits.

        The contents' hashes are remembered in `cache` by path, size and time: asking again reads no data file.
        """
        memory = cache / f"hw1p2-{hashlib.sha256(str(Path(self.root).resolve()).encode()).hexdigest()[:16]}.json"
        known = _remembered(memory)
        seen: dict[str, list[Any]] = {}
        lines = []
        for split in ("train", "val"):
            for part in _PARTS:
                for file in _files(self._folder(split) / part):
                    status = file.stat()
                    path, stamp = str(file.relative_to(self.root)), [status.st_size, status.st_mtime_ns]
                    before = known.get(path, [])
                    content = before[2] if before[:2] == stamp else _content_hash(file)
                    seen[path] = [*stamp, content]
                    lines.append([split, f"{part}/{file.name}", status.st_size, content])
        if seen != known:
            with contextlib.suppress(OSError), write_atomically(memory) as stream:
                stream.write(json.dumps(seen).encode())
        return hashlib.sha256(json.dumps(sorted(lines)).encode()).hexdigest()[:16]

    def num_mfcc(self) -> int:
        """Coefficients a frame, as most of some files of the training split have them."""
        folder = self._folder("train") / "mfcc"
        files = _files(folder)
        found = []
        for file in files[:: max(1, len(files) // _ASKED_FILES)]:
            with contextlib.suppress(ValueError, OSError):
                found.append(int(_features(file).shape[1]))
        if not found:
            raise ValueError(f"{folder}: expected float arrays (frames, mfcc), and no file is one")
        return statistics.mode(found)

    def load(self, split: Split, *, seed: int, cache: Path, track: Track) -> FrameTable:
        """The split's table, read straight into its place."""
        folder = self._folder(split)
        names = [file.stem for file in _files(folder / "mfcc")]
        faults = {
            file.stem: "a transcript without MFCC"
            for file in _files(folder / "transcript")
            if not (folder / "mfcc" / file.name).exists()
        }
        if split == "train":
            names = [names[i] for i in subset(names, self.fraction, seed)]
        table, bad = _read(folder, names, self.num_mfcc(), track)
        faults |= bad
        if not faults:
            return table
        if self.on_bad_utterance == "error":
            raise ValueError(_report(folder, faults))
        if sound := [name for name in names if name not in bad]:
            table = _read(folder, sound, self.num_mfcc(), track)[0] if bad else table
            return dataclasses.replace(table, dropped=tuple(sorted(faults)))
        raise ValueError(f"{folder}: no sound utterance is left of {len(names)}: {next(iter(faults.values()))}")

    def _folder(self, split: Split) -> Path:
        root, name = Path(self.root), {"train": self.train, "val": self.val}[split]
        if (root / name / "mfcc").is_dir() and (root / name / "transcript").is_dir():
            return root / name
        if not root.is_dir():
            raise ValueError(f"data.root={self.root}: no such folder")
        near = [folder for folder in (root.parent, *root.iterdir()) if (folder / name / "mfcc").is_dir()]
        hint = f"; did you mean data.root={near[0]}?" if near else ""
        raise ValueError(
            f"data.root={self.root}: expected the folders {name}/mfcc and {name}/transcript, found "
            f"{', '.join(sorted(entry.name for entry in root.iterdir())[:8]) or 'nothing'}{hint}"
        )


def _files(folder: Path) -> list[Path]:
    entries = (file for file in folder.iterdir() if file.suffix == ".npy" and not file.name.startswith("."))
    files = sorted(file for file in entries if file.is_file())
    if not files:
        raise ValueError(f"{folder}: expected .npy files, found none")
    return files


def _content_hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _remembered(memory: Path) -> dict[str, list[Any]]:
    """Size, time and hash of each path; only a memory: where it is missing or broken the files are read again."""
    try:
        known = json.loads(memory.read_bytes())
        return {path: entry for path, entry in known.items() if len(entry) == 3 and isinstance(entry[2], str)}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _features(file: Path) -> np.ndarray:
    """The file's MFCC (frames, mfcc), mapped and not yet read."""
    try:
        features: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"not a whole .npy array without pickled objects ({error})") from error
    if features.ndim != 2 or not len(features) or features.dtype.kind != "f":
        raise ValueError(f"expected floats (frames, mfcc), found {features.dtype} {features.shape}")
    return features


def _transcript(file: Path) -> np.ndarray:
    try:
        transcript = np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise ValueError("no transcript") from error
    except (ValueError, EOFError) as error:
        raise ValueError(f"transcript is not a whole .npy array without pickled objects ({error})") from error
    if transcript.ndim != 1 or transcript.dtype.kind != "U":
        raise ValueError(f"expected a transcript of strings (frames,), found {transcript.dtype} {transcript.shape}")
    return without_boundaries(transcript)


def _read(folder: Path, names: Sequence[str], num_mfcc: int, track: Track) -> tuple[FrameTable, dict[str, str]]:
    """The table of these utterances, and what is wrong with which; faulty ones are left blank or missing."""
    from ablate.recipe.data.table import FrameTable

    faults: dict[str, str] = {}
    lengths = {}
    for name in names:
        try:
            features = _features(folder / "mfcc" / f"{name}.npy")
            if features.shape[1] != num_mfcc:
                raise ValueError(f"{features.shape[1]} coefficients, where the training split has {num_mfcc}")
            lengths[name] = len(features)
        except (ValueError, OSError) as error:
            faults[name] = str(error)
    table = FrameTable.blank(list(lengths), list(lengths.values()), num_mfcc)
    places = zip(lengths, table.utterances(), strict=True)
    for name, (features, labels) in track(places, len(lengths), f"reading {folder.name}"):
        try:
            with np.errstate(over="ignore"):  # an infinity is found below
                features.numpy()[:] = _features(folder / "mfcc" / f"{name}.npy")
            transcript = _transcript(folder / "transcript" / f"{name}.npy")
            if len(transcript) != len(labels):
                raise ValueError(f"{len(labels)} frames of MFCC, but {len(transcript)} of transcript")
            labels.numpy()[:] = indices(transcript)
            if not np.isfinite(features.numpy()).all():
                raise ValueError("NaN or infinity in the MFCC")
        except (ValueError, OSError) as error:
            faults[name] = str(error)
    return table, faults


def _report(folder: Path, faults: dict[str, str]) -> str:
    lines = [f"  {name}: {fault}" for name, fault in sorted(faults.items())]
    rest = len(lines) - _SHOWN_FAULTS
    number = "a bad utterance" if len(lines) == 1 else f"{len(lines)} bad utterances"
    title = f"{folder}: {number}; mend, or leave out with data.on_bad_utterance=drop:"
    more = [f"  and {rest} more"] if rest > 0 else []
    return "\n".join([title, *lines[:_SHOWN_FAULTS], *more])
