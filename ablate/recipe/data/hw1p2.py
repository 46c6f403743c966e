"""A folder in the layout of CMU 11-785's HW1P2: `<split>/{mfcc,transcript}/<speaker>-<utterance>.npy`."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.lib.format import MAGIC_PREFIX, read_array_header_1_0, read_array_header_2_0, read_magic

from ablate.quantity import PositiveFraction
from ablate.recipe.data.cache import Fault, Recordings, Utterance, cached
from ablate.recipe.data.content import File, digests, files, name_of
from ablate.recipe.data.corpus import Boundary, Context, Dtype, Split, Track
from ablate.recipe.data.fault import OnBadUtterance, noted, settle
from ablate.recipe.data.phoneme import UNKNOWN, indices, without_boundaries

_ASKED_FILES = 25


@dataclass(frozen=True, kw_only=True)
class HW1P2:
    """The course's corpus, or one of your own in its layout.

    An `mfcc` file is a float array (frames, mfcc), its `transcript` a string array (frames,), with or without
    boundary tokens at its ends. The number of coefficients and the spelling of silence are found in the files. The
    test split may have no transcripts.
    """

    root: str
    train: str
    val: str
    test: str
    context: Context
    fraction: PositiveFraction
    boundary: Boundary
    dtype: Dtype
    on_bad_utterance: OnBadUtterance

    def fingerprint(self, cache: Path, track: Track) -> str:
        """A hash over (split, relative name, size, content) of all files of the training and validation splits."""
        splits: tuple[Split, ...] = ("train", "val")
        return name_of([[split, *line] for split in splits for line in _lines(self._folder(split), cache, track)])

    def num_mfcc(self) -> int:
        """Coefficients a frame, as most of some files of the training split have them."""
        folder = self._folder("train") / "mfcc"
        return _most_common_width(folder, folder.stat().st_mtime_ns)

    def load(self, split: Split, *, seed: int, cache: Path, track: Track) -> Recordings:
        """The split, read and checked in the first place, and from the cache as long as its files stay the same."""
        folder, num_mfcc = self._folder(split), self.num_mfcc()
        identity = name_of([*_lines(folder, cache, track), num_mfcc])
        path = cache / f"hw1p2-{_name(folder)}.frames"
        whole = cached(path, identity, num_mfcc, lambda: _read(folder, num_mfcc, track))
        settle(whole, folder, self.on_bad_utterance, path.with_suffix(".faults.txt"))
        return whole.part(self.fraction, seed) if split == "train" else whole

    def _folder(self, split: Split) -> Path:
        root, name = Path(self.root).expanduser(), {"train": self.train, "val": self.val, "test": self.test}[split]
        needed = ("mfcc",) if split == "test" else ("mfcc", "transcript")
        if not root.is_dir():
            raise ValueError(f"data.root={self.root}: {'not a folder' if root.exists() else 'no such folder'}")
        if missing := [part for part in needed if not (root / name / part).is_dir()]:
            expected = " and ".join(f"{name}/{part}" for part in missing)
            found = ", ".join(sorted(entry.name for entry in root.iterdir())[:8]) or "nothing"
            raise ValueError(f"data.root={self.root}: expected {expected}, found {found}{_hint(root, split, name)}")
        return root / name


def _lines(folder: Path, cache: Path, track: Track) -> list[list[object]]:
    """Name, size and digest of each file of a split; asking again reads no data file."""
    parts = [part for part in ("mfcc", "transcript") if (folder / part).is_dir()]
    listed = [file._replace(name=f"{part}/{file.name}") for part in parts for file in _files(folder / part)]
    content = digests(folder, listed, cache / f"hw1p2-{_name(folder)}.json", track)
    return sorted([file.name, file.size, content[file.name]] for file in listed)


def _hint(root: Path, split: Split, name: str) -> str:
    """Where the split is, if it is near, or what other splits are there."""
    root = root.resolve()
    for near, what in ((root.parent, "one level too low"), (root.parent.parent, "two levels too low")):
        if (near / name / "mfcc").is_dir():
            return f"; it is {what}, did you mean data.root={near}?"
    for pattern, what in (("*", "one level too high"), ("*/*", "two levels too high")):
        with contextlib.suppress(OSError):
            for near in sorted(root.glob(pattern)):
                if (near / name / "mfcc").is_dir():
                    return f"; it is {what}, did you mean data.root={near}?"
    splits = sorted(folder.parent.name for folder in root.glob("*/mfcc") if folder.is_dir())
    return f"; data.{split}= chooses another split, one of {', '.join(splits)}" if splits else ""


def _name(folder: Path) -> str:
    """A name for what the cache keeps of a folder."""
    return hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _files(folder: Path) -> list[File]:
    if not (listed := [file for file in files(folder, (".npy",), recursive=False) if file.name.endswith(".npy")]):
        raise ValueError(f"{folder}: expected .npy files, found none")
    return listed


def _read(folder: Path, num_mfcc: int, track: Track) -> Iterator[Utterance | Fault]:
    """Every utterance of the split, or what is wrong with its files."""
    is_labelled = (folder / "transcript").is_dir()
    parts = ("mfcc", "transcript") if is_labelled else ("mfcc",)
    names = sorted({Path(file.name).stem for part in parts for file in _files(folder / part)})
    for name in track(names, len(names), f"reading {folder.name}"):
        speaker, _, _ = name.partition("-")
        faults: list[str] = []
        features, labels = np.empty((0, num_mfcc), np.float32), np.empty(0, np.uint8)
        with noted(f"mfcc/{name}.npy", faults):
            features = _finite(_features(folder / "mfcc" / f"{name}.npy"), num_mfcc)
            labels = np.full(len(features), UNKNOWN)
        if is_labelled:
            with noted(f"transcript/{name}.npy", faults):
                labels = indices(_transcript(folder / "transcript" / f"{name}.npy"))
        if not faults and len(features) != len(labels):
            faults = [f"transcript/{name}.npy: {len(labels)} labels, where mfcc/{name}.npy has {len(features)} frames"]
        yield Fault(name, speaker, tuple(faults)) if faults else Utterance(name, speaker, features, labels)


@functools.cache
def _most_common_width(folder: Path, time_ns: int) -> int:
    """Of some of the folder's arrays; remembered, since each run of a study asks."""
    listed = _files(folder)
    found = []
    for file in listed[:: max(1, len(listed) // _ASKED_FILES)]:
        with contextlib.suppress(ValueError, OSError):
            found.append(int(_features(folder / file.name, map_only=True).shape[1]))
    if not found:
        raise ValueError(f"{folder}: expected float arrays (frames, mfcc), and no file is one")
    return statistics.mode(found)


def _features(file: Path, *, map_only: bool = False) -> np.ndarray:
    """The file's MFCC (frames, mfcc)."""
    features = _array(file, mmap_mode="r" if map_only else None)
    if features.ndim != 2 or features.dtype.kind != "f":
        raise ValueError(f"expected floats (frames, mfcc), found {features.dtype} {features.shape}")
    if not len(features):
        raise ValueError("an utterance without frames")
    return features


def _finite(features: np.ndarray, num_mfcc: int) -> np.ndarray:
    if features.shape[1] != num_mfcc:
        raise ValueError(f"{features.shape[1]} coefficients, where the training split has {num_mfcc}")
    with np.errstate(over="ignore"):  # what is too large for float32 is an infinity
        features = features.astype(np.float32, copy=False)
    if not np.isfinite(features).all():
        frame = int(np.flatnonzero(~np.isfinite(features).all(1))[0])
        raise ValueError(f"NaN or infinity in frame {frame}")
    return features


def _transcript(file: Path) -> np.ndarray:
    """The file's labels (frames,), without boundary tokens."""
    transcript = _array(file)
    if transcript.ndim != 1 or transcript.dtype.kind != "U":
        raise ValueError(f"expected strings (frames,), found {transcript.dtype} {transcript.shape}")
    return without_boundaries(transcript)


def _array(file: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    try:
        array = np.load(file, mmap_mode=mmap_mode, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # whatever numpy makes of a broken header
        raise ValueError(_unreadable(file)) from error
    if not isinstance(array, np.ndarray):
        raise ValueError("expected one array, found an archive of several")
    return array


def _unreadable(file: Path) -> str:
    """Why numpy does not load a file: its own words advise to trust it."""
    with file.open("rb") as stream:
        if stream.read(len(MAGIC_PREFIX)) != MAGIC_PREFIX:
            return "not an .npy file"
        with contextlib.suppress(Exception):
            stream.seek(0)
            version = read_magic(stream)
            _, _, dtype = read_array_header_1_0(stream) if version == (1, 0) else read_array_header_2_0(stream)
            if dtype.hasobject:
                return "pickled Python objects, which are never loaded since that can run code; save plain arrays"
    return "cut short or broken"
