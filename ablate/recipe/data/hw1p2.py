"""A folder in the layout of CMU 11-785's HW1P2: `<split>/{mfcc,transcript}/<speaker>-<utterance>.npy`."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ablate.file import at_home, check_plain
from ablate.quantity import Positive, PositiveFraction
from ablate.recipe.data.cache import Fault, Sources, Utterance
from ablate.recipe.data.content import Content, Track, contents, name_of, readable
from ablate.recipe.data.corpus import Boundary, Context, Dtype, Name, Split
from ablate.recipe.data.fault import OnBadUtterance, noted
from ablate.recipe.data.file_corpus import FileCorpus
from ablate.recipe.data.folder import File, elsewhere, files, listing, some_files
from ablate.recipe.data.phoneme import PHONEMES, SILENCES, indices, unknown, without_boundaries

if TYPE_CHECKING:
    import numpy as np

_ASKED_FILES = 25


@dataclass(frozen=True, kw_only=True)
class HW1P2(FileCorpus):
    """The course's corpus, or one of your own in its layout.

    An `mfcc` file is a float array (frames, mfcc), its `transcript` a string array (frames,), with or without
    boundary tokens at its ends. The number of coefficients and the spelling of silence are found in the files. The
    test split may have no transcripts.
    """

    root: Name
    train: Name
    val: Name
    test: Name
    context: Context
    fraction: PositiveFraction
    boundary: Boundary
    dtype: Dtype
    device_budget: Positive | None
    on_bad_utterance: OnBadUtterance
    leave_out: Name | None

    @property
    def hop_seconds(self) -> float:
        """From frame to frame, as in all of the course's terms; the files don't say it."""
        return 0.010

    def num_mfcc(self) -> int:
        """Coefficients a frame, as most of some files of the training split have them."""
        return _width(self.folder("train"))

    def class_names(self) -> list[str]:
        """The phonemes in the order of their classes, silence as some files of the training split spell it."""
        folder = self.folder("train") / "transcript"
        for file in some_files(folder, ".npy", _ASKED_FILES):
            with contextlib.suppress(ValueError, OSError):
                spelled = set(_transcript(folder / file.name).tolist())
                if found := sorted(spelled & set(SILENCES)):
                    return [found[0], *PHONEMES[1:]]
        return list(PHONEMES)

    def place(self, split: Split, cache: Path) -> Path:
        """The split's file in the cache, by its folder."""
        return cache / f"hw1p2-{_name(self.folder(split))}.frames"

    def width(self, split: Split) -> int:
        """Coefficients a frame; a test needs no training split."""
        return _width(self.folder(split)) if split == "test" else self.num_mfcc()

    def read(self, split: Split, found: Sequence[Content], track: Track) -> Iterator[Utterance | Fault]:
        """Every utterance of the split, or all that is wrong with its files."""
        is_labelled = split != "test" or any(file.name.startswith("transcript/") for file, _ in found)
        return _read(self.folder(split), found, self.width(split), track, is_labelled=is_labelled)

    def look(self, split: Split, cache: Path, track: Track) -> Sources:
        """All files of the split; asking again reads none of them."""
        folder = self.folder(split)
        parts = [part for part in ("mfcc", "transcript") if (folder / part).is_dir()]
        listed = [
            file._replace(name=f"{part}/{file.name}")
            for part in parts
            for file in files(folder / part, (".npy",), recursive=False)
        ]
        if not listed:
            raise ValueError(f"{folder}: an empty split: expected .npy files in mfcc and transcript, found none")
        found = contents(folder, listed, cache / f"hw1p2-{_name(folder)}.digests", track)
        return Sources(name_of([content.line for content in found]), found)

    @listing()
    def folder(self, split: Split) -> Path:
        """The split's own in `root`."""
        root, name = at_home(self.root), {"train": self.train, "val": self.val, "test": self.test}[split]
        needed = ("mfcc",) if split == "test" else ("mfcc", "transcript")
        if not root.is_dir():
            raise ValueError(f"data.root={self.root}: {'not a folder' if root.exists() else 'no such folder'}")
        if missing := [part for part in needed if not (root / name / part).is_dir()]:
            expected = " and ".join(f"{name}/{part}" for part in missing)
            found = ", ".join(sorted(entry.name for entry in root.iterdir())[:8]) or "nothing"
            raise ValueError(f"data.root={self.root}: expected {expected}, found {found}; {_hint(root, split, name)}")
        return root / name


def _hint(root: Path, split: Split, name: str) -> str:
    """Where the split is, if it is near, or what other splits are there."""
    if hint := elsewhere("data.root", root, f"{name}/mfcc"):
        return hint
    splits = sorted(folder.parent.name for folder in root.glob("*/mfcc") if folder.is_dir())
    there = f", one of {', '.join(splits)}" if splits else ""
    return f"data.{split}= chooses another split{there}"


def _name(folder: Path) -> str:
    """A name for what the cache keeps of a folder."""
    return hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _read(
    folder: Path, found: Sequence[Content], num_mfcc: int, track: Track, *, is_labelled: bool
) -> Iterator[Utterance | Fault]:
    """Every utterance of the split, or all that is wrong with its files."""
    names = sorted({Path(file.name).stem for file, _ in found})
    misspelled = {Path(file.name).stem: file.name for file, _ in found if not file.name.endswith(".npy")}
    known = readable(found)
    for name in track(names, len(names), f"reading {folder.name}"):
        speaker, _, _ = name.partition("-")
        if name in misspelled:
            yield Fault(name, speaker, (f"{misspelled[name]}: expected .npy in small letters; rename it",))
            continue
        mfcc, transcript = f"mfcc/{name}.npy", f"transcript/{name}.npy"
        faults: list[str] = []
        features, spelled, labels = None, None, None
        with noted(mfcc, faults, known):
            features = _features(folder / mfcc)  # if it can't be used, it still has a length
            features = _finite(features, num_mfcc)
        if is_labelled:
            with noted(transcript, faults, known):
                spelled = _transcript(folder / transcript)
                labels = indices(spelled)
        elif features is not None:
            labels = unknown(len(features))
        if features is not None and spelled is not None and len(features) != len(spelled):
            faults.append(f"{transcript}: {len(spelled)} labels, where {mfcc} has {len(features)} frames")
        if faults or features is None or labels is None:
            yield Fault(name, speaker, tuple(faults))
        else:
            yield Utterance(name, speaker, features, labels)


def _width(split: Path) -> int:
    """Coefficients a frame, as most of some files of a split have them."""
    return _most_common_width(split / "mfcc", tuple(some_files(split / "mfcc", ".npy", _ASKED_FILES)))


@functools.lru_cache(maxsize=8)
def _most_common_width(folder: Path, asked: tuple[File, ...]) -> int:
    """Of some of the folder's arrays; remembered as long as they stay the same, since each run of a study asks."""
    found = []
    for file in asked:
        with contextlib.suppress(ValueError, OSError):
            found.append(int(_features(folder / file.name, map_only=True).shape[1]))
    if not found:
        raise ValueError(f"{folder}: expected float arrays (frames, mfcc), and no file is one")
    return statistics.mode(found)


def _features(file: Path, *, map_only: bool = False) -> np.ndarray:
    """The file's MFCC (frames, mfcc)."""
    features = _array(file, mmap_mode="r" if map_only else None)
    if features.ndim != 2 or features.dtype.kind != "f" or not features.shape[1]:
        raise ValueError(f"expected floats (frames, mfcc), found {features.dtype} {features.shape}")
    if not len(features):
        raise ValueError("an utterance without frames")
    return features


def _finite(features: np.ndarray, num_mfcc: int) -> np.ndarray:
    """The features in float32, if there are `num_mfcc` a frame and they are finite."""
    import numpy as np

    problems = []
    if features.shape[1] != num_mfcc:
        problems.append(f"{features.shape[1]} coefficients, where most of the training split has {num_mfcc}")
    with np.errstate(over="ignore"):  # what is too large for float32 is an infinity
        features = features.astype(np.float32, copy=False)
    if not np.isfinite(features).all():
        problems.append(f"NaN or infinity in frame {np.flatnonzero(~np.isfinite(features).all(1))[0]}")
    if problems:
        raise ValueError("; ".join(problems))
    return features


def _transcript(file: Path) -> np.ndarray:
    """The file's labels (frames,), without boundary tokens."""
    transcript = _array(file)
    if transcript.ndim != 1 or transcript.dtype.kind != "U":
        raise ValueError(f"expected strings (frames,), found {transcript.dtype} {transcript.shape}")
    return without_boundaries(transcript)


def _array(file: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    import numpy as np

    check_plain(file)  # a pipe would be waited for
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
    from numpy.lib.format import MAGIC_PREFIX, read_array_header_1_0, read_array_header_2_0, read_magic

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
