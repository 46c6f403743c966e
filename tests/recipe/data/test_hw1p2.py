"""The course's layout: what differs between terms is found out, and what is wrong is named by file."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.config.check import instantiate
from ablate.error import UserError
from ablate.recipe.data.cache import Recordings
from ablate.recipe.data.corpus import Split
from ablate.recipe.data.hw1p2 import HW1P2
from ablate.recipe.data.phoneme import PHONEMES, UNKNOWN
from tests.recipe.data.hw1p2_folder import LENGTHS, write
from tests.trainings import checked


def silent(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    return items


def corpus(root: Path, *overrides: str) -> HW1P2:
    made = instantiate(checked(["data=hw1p2", f"data.root={root}", *overrides]), "data")
    assert isinstance(made, HW1P2)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "root")


@pytest.fixture
def load(root: Path, tmp_path: Path) -> Callable[..., Recordings]:
    """`load("train", "data.fraction=0.5")`"""

    def loaded(split: Split, *overrides: str, root: Path = root) -> Recordings:
        return corpus(root, *overrides).load(split, seed=0, cache=tmp_path / "cache", track=silent)

    return loaded


Load = Callable[..., Recordings]


def content(recordings: Recordings) -> list[tuple[str, bytes, list[int]]]:
    read = zip(recordings.names, recordings.utterances(), strict=True)
    return [(name, features.numpy().tobytes(), labels.tolist()) for name, (features, labels) in read]


@pytest.mark.parametrize(
    "form",
    [{"sil": "[SIL]", "ends": ("[SOS]", "[EOS]")}, {"sil": "SIL", "ends": ("<sos>", "<eos>")}, {"sil": "[SIL]"}],
)
def test_every_terms_form_gives_the_same_table(form: dict[str, Any], load: Load, tmp_path: Path) -> None:
    other = write(tmp_path / "other", **form)
    assert content(load("train")) == content(load("train", root=other))


def test_the_table_is_what_the_files_say(root: Path, load: Load) -> None:
    recordings = load("val")
    assert recordings.names == list(LENGTHS) and recordings.lengths == list(LENGTHS.values())
    for name, (features, labels) in zip(recordings.names, recordings.utterances(), strict=True):
        assert np.array_equal(features.numpy(), np.load(root / "dev-clean/mfcc" / f"{name}.npy"))
        spelled = np.load(root / "dev-clean/transcript" / f"{name}.npy")
        assert [PHONEMES[label] for label in labels] == spelled.tolist()


@pytest.mark.parametrize("num_mfcc", [13, 15, 27, 28])
def test_any_number_of_coefficients(num_mfcc: int, load: Load, tmp_path: Path) -> None:
    other = write(tmp_path / "other", num_mfcc=num_mfcc)
    assert corpus(other).num_mfcc() == load("train", root=other).num_mfcc == num_mfcc


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_floats_of_any_size_are_taken_in_the_tables(dtype: Any, root: Path, load: Load) -> None:
    file = root / "dev-clean/mfcc/1-b.npy"
    features = np.load(file).astype(np.float16)
    np.save(file, features.astype(dtype))
    _, (found, _), _ = load("val").utterances()
    assert np.array_equal(found.numpy(), features.astype(np.float32))


def test_splits_have_the_names_that_one_gives_them(root: Path, load: Load) -> None:
    plain = content(load("train"))
    (root / "train-clean-100").rename(root / "train-clean-360")
    with pytest.raises(ValueError, match=r"expected train-clean-100/mfcc .* data.train= .* dev-clean, train-clean-360"):
        load("train")
    assert content(load("train", "data.train=train-clean-360")) == plain


def test_a_test_split_may_have_transcripts(root: Path, load: Load) -> None:
    (root / "dev-clean").rename(root / "test-clean")
    labelled = [labels for _, _, labels in content(load("test"))]
    assert max(max(labels) for labels in labelled) < len(PHONEMES)
    for file in (root / "test-clean/transcript").iterdir():
        file.unlink()
    (root / "test-clean/transcript").rmdir()
    assert [labels for _, _, labels in content(load("test"))] == [[UNKNOWN] * length for length in LENGTHS.values()]


def fault(root: Path, kind: str) -> None:
    mfcc, transcript = (root / "train-clean-100" / part / "1-b.npy" for part in ("mfcc", "transcript"))
    features, labels = np.load(mfcc), np.load(transcript)
    if kind == "missing transcript":
        transcript.unlink()
    elif kind == "missing mfcc":
        mfcc.unlink()
    elif kind == "unequal lengths":
        np.save(transcript, labels[:-1])
    elif kind == "unknown label":
        np.save(transcript, np.array(["AX", *labels[1:]]))
    elif kind == "nan":
        features[1, 2] = np.nan
        np.save(mfcc, features)
    elif kind == "infinity":
        np.save(mfcc, np.full(features.shape, 1e300))  # for the table's float32
    elif kind == "coefficients":
        np.save(mfcc, features[:, :-1])
    elif kind == "integers":
        np.save(mfcc, features.astype(int))
    elif kind == "no coefficients":
        np.save(mfcc, features[:, :0])
    elif kind == "one dimension":
        np.save(mfcc, features[:, 0])
    elif kind == "empty utterance":
        np.save(mfcc, features[:0])
    elif kind == "truncated mfcc":
        mfcc.write_bytes(mfcc.read_bytes()[:-7])
    elif kind == "empty file":
        mfcc.write_bytes(b"")
    elif kind == "broken header":
        mfcc.write_bytes(mfcc.read_bytes().replace(b"descr", b"((((r"))
    elif kind == "larger than memory":
        mfcc.write_bytes(mfcc.read_bytes().replace(b"(3, 4), }          ", b"(30000000000, 4), }"))
    elif kind == "archive":
        with mfcc.open("wb") as file:
            np.savez(file, features)
    elif kind == "truncated transcript":
        transcript.write_bytes(transcript.read_bytes()[:-7])
    elif kind == "bytes":
        np.save(transcript, labels.astype("S"))
    elif kind == "unreadable mfcc":
        if not (memory := Path("/proc/self/mem")).exists():
            pytest.skip("needs Linux's /proc: a file that even root can't read")
        mfcc.unlink()
        mfcc.symlink_to(memory)
    elif kind == "pickled mfcc":
        np.save(mfcc, np.array([features], object), allow_pickle=True)
    elif kind == "pickled transcript":
        np.save(transcript, np.array([Bomb(root / "exploded")]), allow_pickle=True)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


FAULTS = {
    "missing transcript": "transcript/1-b.npy: missing",
    "missing mfcc": "mfcc/1-b.npy: missing",
    "unequal lengths": "transcript/1-b.npy: 2 labels, where mfcc/1-b.npy has 3 frames",
    "unknown label": "transcript/1-b.npy: unknown label 'AX' at frame 0",
    "nan": "mfcc/1-b.npy: NaN or infinity in frame 1",
    "infinity": "mfcc/1-b.npy: NaN or infinity in frame 0",
    "coefficients": "mfcc/1-b.npy: 3 coefficients, where most of the training split has 4",
    "integers": "mfcc/1-b.npy: expected floats (frames, mfcc), found int64 (3, 4)",
    "no coefficients": "mfcc/1-b.npy: expected floats (frames, mfcc), found float32 (3, 0)",
    "one dimension": "mfcc/1-b.npy: expected floats (frames, mfcc), found float32 (3,)",
    "empty utterance": "mfcc/1-b.npy: an utterance without frames",
    "truncated mfcc": "mfcc/1-b.npy: cut short or broken",
    "empty file": "mfcc/1-b.npy: not an .npy file",
    "broken header": "mfcc/1-b.npy: cut short or broken",
    "larger than memory": "mfcc/1-b.npy: cut short or broken",
    "archive": "mfcc/1-b.npy: expected one array",
    "truncated transcript": "transcript/1-b.npy: cut short or broken",
    "bytes": "transcript/1-b.npy: expected strings (frames,), found |S",
    "unreadable mfcc": "mfcc/1-b.npy: Input/output error",
    "pickled mfcc": "mfcc/1-b.npy: pickled Python objects",
    "pickled transcript": "transcript/1-b.npy: pickled Python objects",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_named_by_file_or_its_utterance_dropped(kind: str, root: Path, load: Load) -> None:
    fault(root, kind)
    with pytest.raises(ValueError) as caught:
        load("train")
    text = str(caught.value)
    assert "train-clean-100: a bad utterance; mend what is wrong, or" in text and f"\n  {FAULTS[kind]}" in text
    recordings = load("train", "data.on_bad_utterance=drop")
    assert recordings.names == ["1-a", "2-c"] and list(recordings.faults) == ["1-b"]
    assert [len(labels) for _, _, labels in content(recordings)] == [5, 4]
    assert not (root / "exploded").exists()


def test_a_fault_is_looked_for_in_the_whole_split_whatever_its_fraction(root: Path, load: Load) -> None:
    fault(root, "nan")
    with pytest.raises(ValueError, match=r"mfcc/1-b.npy: NaN"):
        load("train", "data.fraction=0.01")


def test_mending_one_utterance_moves_no_other_into_a_fraction(tmp_path: Path, load: Load) -> None:
    root = write(tmp_path / "many")
    for number in range(20):
        for part in ("mfcc", "transcript"):
            file = root / "train-clean-100" / part / "1-a.npy"
            file.with_name(f"{number % 3}-{number}.npy").write_bytes(file.read_bytes())
    half = ("data.fraction=0.5", "data.on_bad_utterance=drop")
    whole = load("train", *half, root=root).names
    fault(root, "nan")
    broken = root / "train-clean-100/mfcc" / f"{whole[3]}.npy"
    broken.write_bytes(b"")
    found = load("train", *half, root=root)
    assert found.names == [name for name in whole if name not in ("1-b", whole[3])]
    assert whole[3] in found.faults


def test_a_fraction_of_bad_utterances_is_refused(root: Path, load: Load) -> None:
    for name in ("1-a", "2-c"):
        (root / "train-clean-100/mfcc" / f"{name}.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"data.fraction=0.01: all that it takes is bad \(1 of 3 utterances\)"):
        for seed in range(20):
            made = corpus(root, "data.fraction=0.01", "data.on_bad_utterance=drop")
            made.load("train", seed=seed, cache=root / "cache", track=silent)


def test_the_odd_one_out_is_blamed_even_if_it_is_the_first(root: Path, load: Load) -> None:
    first = root / "train-clean-100/mfcc/1-a.npy"
    np.save(first, np.load(first)[:, :-1])
    with pytest.raises(ValueError, match=r"1-a.npy: 3 coefficients, where most of the training split has 4"):
        load("train")


def test_what_is_called_so_and_is_no_file_is_a_fault(root: Path, load: Load, tmp_path: Path) -> None:
    folder = root / "train-clean-100/mfcc"
    (folder / "folder.npy").mkdir()
    (folder / "link.npy").symlink_to(tmp_path / "nowhere")
    (folder / "loud.NPY").write_bytes(b"")
    os.mkfifo(folder / "pipe.npy")
    assert corpus(root).fingerprint(tmp_path, silent)
    with pytest.raises(ValueError, match="4 bad utterances") as found:
        load("train")
    lines = [line.strip() for line in str(found.value).splitlines() if "mfcc/" in line]
    assert lines == [
        "mfcc/folder.npy: expected a file, found something else",
        "mfcc/link.npy: a link that leads nowhere",
        "mfcc/loud.NPY: expected .npy in small letters; rename it",
        "mfcc/pipe.npy: expected a file, found something else",
    ]
    assert load("train", "data.on_bad_utterance=drop").names == list(LENGTHS)


def test_what_is_not_called_so_is_no_utterance(root: Path, load: Load) -> None:
    folder = root / "train-clean-100/mfcc"
    (folder / ".hidden.npy").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    (folder / "notes").mkdir()
    (root / "train-clean-100" / "raw").mkdir()
    assert load("train").names == list(LENGTHS)


def test_an_empty_folder_of_transcripts_is_none_in_a_test_split(root: Path, load: Load) -> None:
    shutil.copytree(root / "dev-clean/mfcc", root / "test-clean/mfcc", dirs_exist_ok=True)
    shutil.rmtree(root / "test-clean/transcript", ignore_errors=True)
    (root / "test-clean/transcript").mkdir()
    with_it = load("test")
    (root / "test-clean/transcript").rmdir()
    assert load("test") == with_it and with_it.names and not with_it.faults


@pytest.mark.parametrize("part", ["mfcc", "transcript"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(part: str, root: Path, load: Load) -> None:
    file = root / "train-clean-100" / part / "1-a.npy"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ValueError, match=f"{part}/1-a.npy: expected a file, found something else"):
        load("train")


def test_many_faults_are_told_in_one_go_and_the_rest_in_a_file(root: Path, load: Load, tmp_path: Path) -> None:
    for i in range(12):
        np.save(root / "train-clean-100/mfcc" / f"9-{i:02}.npy", np.full((2, 4), np.nan, np.float32))
    with pytest.raises(ValueError) as caught:
        load("train")
    lines = str(caught.value).splitlines()
    assert "12 bad utterances" in lines[0] and len(lines) == 22
    assert lines[1:3] == ["  mfcc/9-00.npy: NaN or infinity in frame 0", "  transcript/9-00.npy: missing"]
    (report,) = (tmp_path / "cache").glob("*.faults.txt")
    assert lines[-1] == f"  and 4 more; {report} has them all"
    assert len(report.read_text().splitlines()) == 25


def test_a_split_without_a_sound_utterance_is_refused(root: Path, load: Load) -> None:
    for file in (root / "dev-clean/transcript").iterdir():
        np.save(file, np.array(["AX"]))
    with pytest.raises(ValueError, match=r"dev-clean: 3 bad utterances and no sound one"):
        load("val", "data.on_bad_utterance=drop")
    for file in (root / "dev-clean/mfcc").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"3 bad utterances and no sound one:\n  mfcc/1-a.npy: missing\n  tran.* 'AX'"):
        load("val")


def test_both_empty_splits_are_told(root: Path, load: Load, tmp_path: Path) -> None:
    for file in root.glob("*/*/*.npy"):
        file.unlink()
    with pytest.raises(ValueError, match=r"100: an empty split: .*found none\n.*/dev-clean: an empty split"):
        corpus(root).fingerprint(tmp_path, silent)
    with pytest.raises(ValueError, match=r"expected a/mfcc and a/transcript, found .*\n.*expected b/mfcc and b/"):
        corpus(root, "data.train=a", "data.val=b").fingerprint(tmp_path, silent)
    with pytest.raises(UserError, match=r"data.train: expected at least 1 character, found ''"):
        corpus(root, "data.train=")
    with pytest.raises(UserError, match=r"data.root: expected at least 1"):
        corpus(Path("''"))


def test_all_that_is_wrong_with_an_utterance_is_told_at_once(root: Path, load: Load) -> None:
    mfcc, transcript = (root / "train-clean-100" / part / "1-a.npy" for part in ("mfcc", "transcript"))
    np.save(mfcc, np.full((5, 3), np.nan))
    np.save(transcript, np.array(["AX", "PAU", "AX", "AA"]))
    with pytest.raises(ValueError) as caught:
        load("train")
    assert str(caught.value).splitlines()[1:] == [
        "  mfcc/1-a.npy: 3 coefficients, where most of the training split has 4; NaN or infinity in frame 0",
        "  transcript/1-a.npy: unknown labels 'AX' at frame 0 (the nearest known one: AY), "
        "'PAU' at frame 1 (the nearest known one: P)",
        "  transcript/1-a.npy: 4 labels, where mfcc/1-a.npy has 5 frames",
    ]


def test_a_file_that_can_not_be_read_for_a_moment_is_no_fault(
    root: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = np.load

    def failing(file: Path, **options: Any) -> Any:
        if file.name == "1-b.npy":
            raise OSError(5, "Input/output error", str(file))
        return read(file, **options)

    monkeypatch.setattr(np, "load", failing)
    with pytest.raises(ValueError, match=r"mfcc/1-b.npy: Input/output error, though it could be read a moment ago"):
        load("train", "data.on_bad_utterance=drop")
    monkeypatch.undo()
    assert load("train", "data.on_bad_utterance=drop").names == list(LENGTHS)


def test_a_file_that_changes_while_it_is_read_and_back_again_is_not_believed(
    root: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = np.load
    mfcc = root / "train-clean-100/mfcc/1-b.npy"

    def interfering(file: Path, **options: Any) -> Any:
        if file != mfcc or options.get("mmap_mode"):
            return read(file, **options)
        whole = mfcc.read_bytes()
        mfcc.write_bytes(whole[:-4])
        try:
            return read(file, **options)
        finally:
            mfcc.write_bytes(whole)

    monkeypatch.setattr(np, "load", interfering)
    with pytest.raises(ValueError, match=r"files changed while they were read"):
        load("train", "data.on_bad_utterance=drop")
    monkeypatch.undo()
    assert load("train").names == list(LENGTHS)


def test_a_file_that_can_be_read_again_is_taken(root: Path, load: Load) -> None:
    mfcc = root / "train-clean-100/mfcc/1-b.npy"
    whole = mfcc.read_bytes()
    fault(root, "unreadable mfcc")
    assert load("train", "data.on_bad_utterance=drop").names == ["1-a", "2-c"]
    mfcc.unlink()
    mfcc.write_bytes(whole)
    assert load("train", "data.on_bad_utterance=drop").names == list(LENGTHS)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("..", "one level too high"),
        ("../..", "two levels too high"),
        ("dev-clean", "one level too low"),
        ("dev-clean/mfcc", "two levels too low"),
    ],
)
def test_a_wrong_root_is_told_the_right_one(wrong: str, said: str, tmp_path: Path) -> None:
    root = write(tmp_path / "archives" / "course")
    given = Path(os.path.normpath(root / wrong))
    with pytest.raises(ValueError, match=f"it is {said}, did you mean data.root={root}"):
        corpus(given).fingerprint(tmp_path / "cache", silent)


def test_a_root_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, said in (("nowhere", "no such folder"), ("file", "not a folder"), (".", "found file")):
        with pytest.raises(ValueError, match=said):
            corpus(tmp_path / name).fingerprint(tmp_path, silent)


def test_a_tilde_is_the_home_folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    assert corpus(Path("'~/root'")).fingerprint(tmp_path, silent) == corpus(root).fingerprint(tmp_path, silent)


def test_the_fingerprint_is_of_the_content_wherever_it_lies(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = corpus(root).fingerprint(cache, silent)
    moved = write(tmp_path / "moved")
    assert corpus(moved).fingerprint(cache, silent) == first
    (root / "test-clean/mfcc").mkdir(parents=True)
    assert corpus(root).fingerprint(cache, silent) == first
    file = moved / "dev-clean/mfcc/1-a.npy"
    features = np.load(file)
    features[0, 0] += 1
    np.save(file, features)
    assert corpus(moved).fingerprint(cache, silent) != first


def test_asking_again_reads_no_data_file(root: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    first, cache = load("train"), load("train").path.parent
    before = corpus(root).fingerprint(cache, silent)
    monkeypatch.setattr("ablate.recipe.data.content._digest", None)  # calling it would fail
    monkeypatch.setattr("ablate.recipe.data.hw1p2._read", None)
    assert corpus(root).fingerprint(cache, silent) == before
    assert content(load("train")) == content(first)


def test_changed_data_are_read_again(root: Path, load: Load) -> None:
    before = content(load("train"))
    file = root / "train-clean-100/mfcc/1-b.npy"
    stamp = file.stat()
    np.save(file, np.load(file) + 1)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns - 1))  # even if they get older, of the same size
    after = content(load("train"))
    assert after[1] != before[1] and after[0] == before[0]
    assert len(list(load("train").path.parent.glob("*.frames"))) == 1
