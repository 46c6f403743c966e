"""Which files make an utterance, and which utterances a split."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from ablate.file import at_home
from ablate.recipe.data.cache import Sources
from ablate.recipe.data.content import Content, Track, contents, name_of
from ablate.recipe.data.corpus import Split
from ablate.recipe.data.folder import File, elsewhere, files, listing

Key = Literal["root", "alignments"]
ALIGNMENTS = (".textgrid", ".phn")


class Paths(NamedTuple):
    """An utterance's files, relative to their folders; there should be one of each."""

    name: str
    speaker: str
    audio: list[str]
    alignments: list[str]

    def faults(self) -> tuple[str, ...]:
        """What is missing, and what is there twice."""
        alone = [
            *(f"{name}: no audio for it" for name in self.alignments if not self.audio),
            *(f"{name}: no alignment for it, TextGrid or PHN" for name in self.audio if not self.alignments),
        ]
        several = [names for names in (self.audio, self.alignments) if len(names) > 1]
        return (*alone, *(f"{names[1]}: a second file of its kind, beside {names[0]}" for names in several))


@dataclass(frozen=True)
class Tree:
    """The folder of a split's audio and that of its alignments, which have the same folders in them or are the same.

    An utterance's name is its files' path without the suffix.
    """

    audio: Path
    alignments: Path
    suffixes: tuple[str, ...]
    speaker: Literal["folder", "name"]
    speakers: tuple[str, ...] | None  # none: all

    @staticmethod
    @listing()
    def of(
        split: Split,
        part: str | list[str] | None,
        *,
        root: str,
        alignments: str | None,
        suffixes: Sequence[str],
        speaker: Literal["folder", "name"],
    ) -> Tree:
        """That of a split which is a folder, or a list of speakers anywhere in the root.

        Raises `ValueError` where a folder is not there or can't be read.
        """
        if part is None:
            raise ValueError(f"data.{split}: expected a folder or a list of speakers, found none")
        below, speakers = (part, None) if isinstance(part, str) else (".", tuple(map(_composed, part)))
        folders: dict[str, Path] = {}
        for key, given in (("root", root), ("alignments", root if alignments is None else alignments)):
            tree = at_home(given)
            if not tree.is_dir():
                raise ValueError(f"data.{key}={given}: no such folder")
            if not (tree / below).is_dir():
                there = ", ".join(sorted(entry.name for entry in tree.iterdir())[:8]) or "nothing"
                hint = elsewhere(f"data.{key}", tree, below)
                raise ValueError(
                    f"data.{split}={part}: no such folder in data.{key}={given}, which holds {there}"
                    + (f"; {hint}" if hint else "")
                )
            folders[key] = tree / below
        return Tree(folders["root"], folders["alignments"], tuple(suffixes), speaker, speakers)

    def sources(self, cache: Path, track: Track) -> Sources:
        """All files of the split; asking again reads none of them.

        Raises `ValueError` where there is no audio, no alignment, or nothing of one of the speakers.
        """
        found: list[Content] = []
        for key, folder, suffixes, listed in self._listed():
            memory = cache / f"aligned-{name_of([str(folder.resolve()), suffixes])}.digests"
            own = set(self._chosen(key, folder, suffixes, listed))
            found += [content for content in contents(folder, listed, memory, track) if content.file in own]
        found.sort()
        lines = [content.line for content in found]
        return Sources(name_of(sorted((_composed(name), *others) for name, *others in lines)), found)

    def utterances(self) -> list[Paths]:
        """The split's, by name."""
        found: dict[str, Paths] = {}
        for key, folder, suffixes, listed in self._listed():
            for file in self._chosen(key, folder, suffixes, listed):
                stem = _stem(file.name, suffixes)
                paths = found.setdefault(stem, Paths(stem, self._speaker(stem), [], []))
                (paths.audio if key == "root" else paths.alignments).append(file.name)
        return [found[name] for name in sorted(found)]

    def _listed(self) -> list[tuple[Key, Path, tuple[str, ...], list[File]]]:
        places: list[tuple[Key, Path, tuple[str, ...]]] = [
            ("root", self.audio, self.suffixes),
            ("alignments", self.alignments, ALIGNMENTS),
        ]
        return [(key, folder, suffixes, files(folder, suffixes, recursive=True)) for key, folder, suffixes in places]

    def _chosen(self, key: Key, folder: Path, suffixes: tuple[str, ...], listed: Sequence[File]) -> list[File]:
        if not listed:
            raise ValueError(
                f"{folder}: expected files {', '.join(suffixes)} (in any case), found none; "
                + ("data.audio=... are other suffixes" if key == "root" else "data.alignments=... is another folder")
            )
        speakers = {file: self._speaker(_stem(file.name, suffixes)) for file in listed}
        if self.speakers is None:
            return list(listed)
        if unknown := [name for name in self.speakers if name not in speakers.values()]:
            near = [f"{name!r} (nearest there: {_nearest(name, set(speakers.values()))})" for name in unknown]
            hint = "; in a file, names of digits need quotes" if any(map(str.isdigit, unknown)) else ""
            raise ValueError(f"{folder}: no files {', '.join(suffixes)} of the speakers {', '.join(near)}{hint}")
        return [file for file in listed if speakers[file] in self.speakers]

    def _speaker(self, name: str) -> str:
        *folders, last = name.split("/")
        if self.speaker == "folder":
            return (folders or [self.audio.name])[-1]
        return last.partition("-" if "-" in last else "_")[0]


def _stem(name: str, suffixes: tuple[str, ...]) -> str:
    """A file's name without its suffix, of whose Unicode forms (macOS writes another) all count as one."""
    stem = name[: -max(len(suffix) for suffix in suffixes if name.lower().endswith(suffix))]
    return _composed(stem)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _nearest(name: str, names: Collection[str]) -> str:
    return difflib.get_close_matches(name, sorted(names), n=1, cutoff=0)[0]
