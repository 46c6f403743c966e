"""Alignments as Praat, MFA, HTK, Kaldi and TIMIT leave them; praatio writes those that are sound."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid
from praatio.utilities.constants import Interval, Point

from ablate.recipe.data.aligned import segment
from ablate.recipe.data.aligned.segment import Segment

HEAD = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 2\ntiers? <exists>\n'


def tier(name: str, entries: str, count: int, kind: str = "IntervalTier") -> str:
    return f'item [1]:\nclass = "{kind}"\nname = "{name}"\nxmin = 0\nxmax = 2\nintervals: size = {count}\n{entries}'


def interval(start: str, end: str, label: str) -> str:
    return f'intervals [1]:\n  xmin = {start}\n  xmax = {end}\n  text = "{label}"\n'


SOUND = interval("0", "0.5", "sil") + interval("0.5", "2", "AA1")


def read(text: str | bytes, tmp_path: Path, name: str = "a.TextGrid") -> list[Segment]:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return segment.read(file, tier="phones", sample_rate_hz=16_000)


@given(
    labels=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), max_size=5), min_size=1, max_size=6),
    form=st.sampled_from(["short_textgrid", "long_textgrid"]),
)
def test_what_praatio_writes_is_read(labels: list[str], form: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("grid")
    grid = textgrid.Textgrid()
    entries = [Interval(0.25 * number, 0.25 * (number + 1), label) for number, label in enumerate(labels)]
    grid.addTier(textgrid.PointTier("clicks", [Point(0.1, '2.5 "x"')], 0, 0.25 * len(labels)))
    grid.addTier(textgrid.IntervalTier("phones", entries, 0, 0.25 * len(labels)))
    grid.save(str(folder / "a.TextGrid"), format=form, includeBlankSpaces=True)
    found = segment.read(folder / "a.TextGrid", tier="phones", sample_rate_hz=16_000)
    assert [each.label for each in found] == [label.strip() for label in labels]
    assert [each.start for each in found] == pytest.approx([each.start for each in entries])


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "size = 1\n" + tier("phones", SOUND, 2),
        HEAD + "size = 1\n" + tier("phones ", SOUND, 2),
        HEAD + "size = 1\n" + tier("anna - phones", SOUND, 2),
        HEAD + "size = 3\n" + tier("notes", SOUND, 2) + tier("phones", SOUND, 2) + tier("notes", SOUND, 2),
        HEAD
        + "size = 2\n"
        + tier("words", interval("1", "0", "x") + interval("0", "9", "y"), 2)
        + tier("phones", SOUND, 2),
        HEAD + "size = 2\n" + tier("empty", "", 0) + tier("phones", SOUND, 2),
        HEAD
        + "size = 1\n"
        + tier("phones", interval("0", "5e-1", "sil") + interval("0.5", "0.5", "sp") + interval("0.5", "2", "AA1"), 3),
        (HEAD + "size = 1\n" + tier("phones", SOUND, 2)).encode("utf-16"),
        (HEAD + "size = 1\n" + tier("phones", SOUND, 2)).replace("\n", "\r\n").encode("utf-8-sig"),
    ],
)
def test_only_the_tier_that_is_used_is_judged(text: str | bytes, tmp_path: Path) -> None:
    assert read(text, tmp_path) == [Segment(0, 0.5, "sil"), Segment(0.5, 2, "AA1")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a whole TextGrid: it ends too soon"),
        ("hello", "not a whole TextGrid"),
        (HEAD + "size = 1\n" + tier("phones", SOUND, 3), "not a whole TextGrid: it ends too soon"),
        (HEAD + "size = 1\n" + tier("phones", SOUND, 2)[:-9], "not a whole TextGrid"),
        (
            HEAD + "size = 1\n" + tier("phones", SOUND, 2).replace("0.5", "half", 1),
            "not a whole TextGrid: expected a number",
        ),
        (HEAD + "size = -1\n", "not a whole TextGrid: expected a number of entries"),
        (HEAD + "size = 1\n" + tier("words", SOUND, 2), "expected one tier 'phones' (data.tier), found words"),
        (
            HEAD + "size = 2\n" + 2 * tier("phones", SOUND, 2),
            "expected one tier 'phones' (data.tier), found phones, phones",
        ),
        (HEAD + "size = 1\n" + tier("phones", '0.1 "x"', 1, "TextTier"), "the tier 'phones' is of points"),
        ((HEAD + "size = 1\n" + tier("phones", SOUND.replace("AA1", "ü"), 2)).encode("latin-1"), "may be Latin-1"),
        (b"\x00\xff" * 50, "not a whole TextGrid: expected text, found none"),
    ],
)
def test_what_is_no_text_grid_is_said(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(").replace(")", r"\)").replace(".", r"\.")):
        read(text, tmp_path)


def test_a_phn_of_dos_with_blank_lines_and_phones_of_no_length(tmp_path: Path) -> None:
    found = read("0 8000 h#\r\n\r\n8000 8000 sp\r\n8000 32000 aa\r\n\r\n\x1a", tmp_path, "a.PHN")
    assert found == [Segment(0, 0.5, "h#"), Segment(0.5, 2, "aa")]
    with pytest.raises(ValueError, match=r"line 1: expected first sample, last sample and label"):
        read(f"0 {'9' * 400} aa", tmp_path, "a.PHN")


@pytest.mark.parametrize(
    ("label", "phoneme"),
    [
        ("SPN", "SIL"), ("SP", "SIL"), ("AX", "AH"), ("PCL", "SIL"), ("Ax1", "AH"), ("H#", "SIL"), ("iy0", "IY"),
        ("a", "AE"), ("A", "AA"), ("b", "P"), ("B", "B"), ("B1", "B"),
    ],
)  # fmt: skip
def test_labels_in_any_case_exact_entries_first(label: str, phoneme: str) -> None:
    table = {"spn": "SIL", "sp": "SIL", "ax": "AH", "pcl": "SIL", "h#": "SIL", "a": "AE", "A": "AA", "b": "P"}
    assert segment.phonemes([Segment(0, 1, label)], table) == [phoneme]


def test_labels_that_are_none_are_said() -> None:
    with pytest.raises(ValueError, match=r"unknown label 'qq' at 0.000 s \(the nearest known one: "):
        segment.phonemes([Segment(0, 1, "qq")], {})
