"""A corpus of one's own: what is written from the embedded corpus, in each form, is the embedded corpus again."""

import json
import shutil
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ablate.config.check import instantiate
from ablate.error import UserError
from ablate.recipe.data.aligned import Aligned
from ablate.recipe.data.cache import Recordings
from ablate.recipe.data.corpus import Split
from ablate.recipe.data.phoneme import PHONEMES
from tests.conftest import Command
from tests.recipe.data.aligned_corpus import Spoken, spoken, write_audio, write_phn, write_text_grid
from tests.trainings import checked

SMALL = ("data.utterances={train: 8, val: 3, test: 1}", "data.speakers={train: 4, val: 3, test: 1}")


def silent(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    return items


def corpus(root: Path, *overrides: str) -> Aligned:
    made = instantiate(checked(["data=aligned", f"data.root={root}", *overrides]), "data")
    assert isinstance(made, Aligned)
    return made


@pytest.fixture(scope="module")
def utterances() -> dict[str, list[Spoken]]:
    splits: tuple[Split, ...] = ("train", "val")
    return {split: list(spoken(split, *SMALL)) for split in splits}


@pytest.fixture
def root(tmp_path: Path, utterances: dict[str, list[Spoken]]) -> Path:
    """`<split>/<speaker>/<name>.wav` and `.TextGrid`, as MFA takes and leaves them."""
    for split, each in utterances.items():
        for utterance in each:
            file = tmp_path / "root" / split / utterance.speaker / utterance.name
            write_audio(file.with_suffix(".wav"), utterance)
            write_text_grid(file.with_suffix(".TextGrid"), utterance)
    return tmp_path / "root"


Load = Callable[..., Recordings]


@pytest.fixture
def load(root: Path, tmp_path: Path) -> Load:
    def loaded(split: Split, *overrides: str, root: Path = root) -> Recordings:
        return corpus(root, *overrides).load(split, seed=0, cache=tmp_path / "cache", track=silent)

    return loaded


def frames(recordings: Recordings) -> dict[str, tuple[np.ndarray, list[int]]]:
    read = zip(recordings.names, recordings.utterances(), strict=True)
    return {name.split("/")[-1]: (features.numpy(), labels.tolist()) for name, (features, labels) in read}


@pytest.fixture
def embedded(tmp_path: Path) -> Callable[[Split], dict[str, tuple[np.ndarray, list[int]]]]:
    made = instantiate(checked(["data=espeak_tiny", *SMALL]), "data")
    return lambda split: frames(made.load(split, seed=0, cache=tmp_path / "embedded", track=silent))


def assert_equal(found: dict[str, Any], expected: dict[str, Any], tolerance: float = 0.0) -> None:
    assert found.keys() == expected.keys()
    for name, (features, labels) in expected.items():
        assert np.abs(found[name][0] - features).max() <= tolerance
        assert np.mean(np.array(found[name][1]) != labels) <= (0.01 if tolerance else 0)


def test_float_audio_and_text_grids_give_the_embedded_corpus_to_the_bit(load: Load, embedded: Any) -> None:
    for split in ("train", "val"):
        assert_equal(frames(load(split)), embedded(split))


def test_flac_and_alignments_in_a_tree_of_their_own(
    load: Load, embedded: Any, tmp_path: Path, utterances: dict[str, list[Spoken]]
) -> None:
    for split, each in utterances.items():
        for utterance in each:
            place = Path(split, utterance.speaker, utterance.name)
            write_audio((tmp_path / "flac" / place).with_suffix(".flac"), utterance, "PCM_24")
            write_text_grid((tmp_path / "grids" / place).with_suffix(".TextGrid"), utterance, "anna - phones")
    found = load("val", f"data.alignments={tmp_path / 'grids'}", root=tmp_path / "flac")
    assert_equal(frames(found), embedded("val"), tolerance=0.1)


def test_timits_layout_and_a_list_of_speakers(
    load: Load, embedded: Any, tmp_path: Path, utterances: dict[str, list[Spoken]]
) -> None:
    root = tmp_path / "timit"
    for utterance in (*utterances["train"], *utterances["val"]):
        file = root / "DR1" / utterance.speaker / utterance.name
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file.with_suffix(".WAV"), utterance.audio, 16_000, subtype="PCM_16", format="NIST")
        write_phn(file.with_suffix(".PHN"), utterance)
    speakers = sorted({utterance.speaker for utterance in utterances["val"]})
    found = load("val", f"data.val=[{','.join(speakers)}]", root=root)
    assert found.speakers == set(speakers)
    assert_equal(frames(found), embedded("val"), tolerance=1.0)
    assert corpus(root, "data.val=[103,x]", "data.train=2020").val == ["103", "x"]
    with pytest.raises(
        ValueError, match=r"no files .wav, .flac of the speakers 'val00' \(nearest there: val00\d\), 'b' "
    ):
        load("val", "data.val=[val00,b]", root=root)


def test_a_speaker_may_be_named_by_the_file(root: Path, load: Load, tmp_path: Path) -> None:
    by_folder = load("val").speakers
    for file in sorted((root / "val").rglob("*.*")):
        shutil.move(file, root / "val" / file.name)
    assert load("val", "data.speaker=name").speakers == by_folder
    assert load("val").speakers == {"val"}


def test_audio_of_another_rate_is_resampled(root: Path, load: Load) -> None:
    before = frames(load("val"))
    for file in (root / "val").rglob("*.wav"):
        samples, _ = soundfile.read(file, dtype="float32")
        at_twice_the_rate = np.fft.irfft(2 * np.fft.rfft(samples), 2 * len(samples) // 2 * 2)
        soundfile.write(file, at_twice_the_rate, 32_000, subtype="FLOAT")
    after = frames(load("val"))
    for name, (features, labels) in before.items():
        assert after[name][1] == labels
        assert np.median(np.abs(after[name][0] - features)) < 1


def test_settings_decide_the_frames(load: Load) -> None:
    plain = load("val")
    lengths = plain.lengths
    settings = ("data.n_mfcc=13", "data.hop_seconds=0.02", "data.window_seconds=0.03")
    other = load("val", *settings)
    assert other.num_mfcc == 13 and [2 * length for length in other.lengths] == pytest.approx(lengths, abs=1)
    mapped = load("val", "+data.labels.N1=M")
    m, n = PHONEMES.index("M"), PHONEMES.index("N")
    for name, (_, labels) in frames(mapped).items():
        assert labels == [m if label == n else label for label in frames(plain)[name][1]]
    for wrong, said in (
        ("data.n_mfcc=41", "data.n_mfcc=41: expected at most data.num_mels=40"),
        ("data.hop_seconds=0.00001", "data.hop_seconds=1e-05: shorter than a sample"),
        ("+data.labels.x=QQ", r"data.labels\[x\]: expected one of SIL AA .*, found 'QQ'"),
        ("data.train=[]", r"data.train: expected a folder or a list of speakers, found \[\]"),
        ("data.test=[[a]]", r"data.test: expected a folder or a list of speakers, found \[\['a'\]\]"),
        ("data.audio=[]", r"data.audio: expected at least 1 item, found \[\]"),
        ("data.audio=[wav]", r"data.audio\[0\]: expected suffixes like .wav, found 'wav'"),
    ):
        with pytest.raises(UserError, match=f"^{said}"):
            corpus(Path("nowhere"), wrong)


def break_it(root: Path, kind: str, utterance: Spoken) -> None:
    audio = root / "train" / utterance.speaker / f"{utterance.name}.wav"
    grid = audio.with_suffix(".TextGrid")
    if kind == "no alignment":
        grid.unlink()
    elif kind == "no audio":
        audio.unlink()
    elif kind == "two of a kind":
        shutil.copy(audio, audio.with_suffix(".flac"))
    elif kind == "no sound file":
        audio.write_bytes(b"hello")
    elif kind == "cut short":
        audio.write_bytes(audio.read_bytes()[:-2])
    elif kind == "stereo":
        soundfile.write(audio, np.zeros((16_000, 2)), 16_000)
    elif kind == "empty":
        soundfile.write(audio, np.zeros(0), 16_000)
    elif kind == "nan":
        soundfile.write(audio, np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    elif kind == "truncated audio":
        soundfile.write(audio, utterance.audio[:-3200], 16_000, subtype="FLOAT")
    elif kind == "shorter than a window":
        soundfile.write(audio, np.zeros(200), 16_000, subtype="FLOAT")
        write_text_grid(grid, utterance._replace(audio=np.zeros(200), segments=[(0, "SIL")]))
    elif kind == "truncated text grid":
        grid.write_text(grid.read_text()[:-30])
    elif kind == "no text grid":
        grid.write_text("hello")
    elif kind == "binary":
        grid.write_bytes(bytes(range(256)))
    elif kind == "other tier":
        write_text_grid(grid, utterance, "phonemes")
    elif kind == "unknown label":
        write_text_grid(grid, utterance._replace(segments=[(0, "SIL"), (5000, "ɹ")]))
    elif kind in PHN:
        grid.unlink()
        grid.with_suffix(".phn").write_text(PHN[kind].format(end=len(utterance.audio)))


PHN = {
    "late start": "3200 {end} aa\n",
    "gap": "0 1600 aa\n8000 {end} b\n",
    "overlap": "0 8000 aa\n1600 {end} b\n",
    "small overlap": "0 3200 aa\n2400 {end} b\n",
    "not in order": "0 1600 aa\n1600 1680 b\n1550 {end} b\n",
    "backwards": "0 8000 aa\n8000 7000 b\n8000 {end} b\n",
    "no phn": "0 8000\n",
}
FAULTS = {
    "no alignment": ".wav: no alignment for it",
    "no audio": ".TextGrid: no audio for it",
    "two of a kind": ".wav: a second file of its kind, beside train/",
    "no sound file": ".wav: not audio that libsndfile can read",
    "cut short": ".wav: cut short: ",
    "stereo": ".wav: 2 channels, expected one",
    "empty": ".wav: no audio in it",
    "nan": ".wav: NaN or infinity among the samples",
    "truncated audio": ".TextGrid: a segment beyond the audio's end",
    "shorter than a window": ".wav: only 200 samples of audio; a window takes 257",
    "truncated text grid": ".TextGrid: not a whole TextGrid",
    "no text grid": ".TextGrid: not a whole TextGrid",
    "binary": ".TextGrid: not a whole TextGrid",
    "other tier": ".TextGrid: expected one tier 'phones' (data.tier), found words, phonemes",
    "unknown label": ".TextGrid: unknown label 'ɹ1' at 0.312 s (the nearest known one: ",
    "late start": ".phn: no segment from 0.000 to 0.200 s",
    "gap": ".phn: no segment from 0.100 to 0.500 s",
    "overlap": ".phn: two segments from 0.100 to 0.500 s",
    "small overlap": ".phn: two segments from 0.150 to 0.200 s",
    "not in order": ".phn: a segment 'b' at 0.097 s, behind a later one",
    "backwards": ".phn: a segment 'b' from 0.500 to 0.438 s",
    "no phn": ".phn: line 1: expected first sample, last sample and label, found '0 8000'",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_named_by_file_or_its_utterance_dropped(
    kind: str, root: Path, load: Load, utterances: dict[str, list[Spoken]]
) -> None:
    bad = utterances["train"][1]
    break_it(root, kind, bad)
    with pytest.raises(ValueError) as caught:
        load("train")
    name = f"{bad.speaker}/{bad.name}"
    assert f"\n  {name}{FAULTS[kind].replace('train/', name)}" in str(caught.value)
    recordings = load("train", "data.on_bad_utterance=drop")
    assert len(recordings.names) == 7 and list(recordings.faults) == [name]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.train=nowhere"], "data.train=nowhere: no such folder in data.root=.*, which holds train, val"),
        (["data.alignments=nowhere"], "data.alignments=nowhere: no such folder"),
        (["data.audio=[.mp3]"], "train: expected files .mp3 .*; data.audio=... are other suffixes"),
        (
            ["data.alignments=without"],
            "train: expected files .textgrid, .phn .*; data.alignments=... is another f",
        ),
        (["data.train=[17]"], "speakers '17' .*; in a file, names of digits need quotes"),
        (["data.root=root/train"], "data.train=train: .*; it is one level too low, did you mean data.root=.*/root?"),
        (["data.root=."], "data.train=train: .*; it is one level too high, did you mean data.root=.*/root?"),
        (["data.num_mels=300"], "data.num_mels=300: .* too many for windows of 400 samples"),
    ],
)
def test_what_is_not_there_is_told(
    overrides: list[str], said: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    (root.parent / "without/train").mkdir(parents=True)
    with pytest.raises(ValueError, match=said):
        corpus(root, *overrides).load("train", seed=0, cache=tmp_path / "cache", track=silent)
    with pytest.raises(ValueError, match=r"data.test: expected a folder or a list"):
        corpus(root).load("test", seed=0, cache=tmp_path / "cache", track=silent)


def test_the_command_reaches_the_embedded_corpus_accuracy(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    splits: tuple[Split, ...] = ("train", "val")
    for split in splits:
        for utterance in spoken(split):
            file = tmp_path / "own" / split / utterance.speaker / utterance.name
            write_audio(file.with_suffix(".wav"), utterance, "PCM_16")
            write_text_grid(file.with_suffix(".TextGrid"), utterance)
    model = ["data.context=5", "arch.width=64", "optimizer.lr=1e-2", "epochs=4", "wandb.mode=disabled"]
    own = ["data=aligned", "data.root=own", *model]
    for command in (own, ["data=espeak_tiny", *model]):
        done = ablate(*command)
        assert done.returncode == 0, done.stderr
    results = [json.loads(file.read_text()) for file in (tmp_path / "outputs/runs").glob("*/result.json")]
    first, second = (result["metrics"]["val/accuracy"] for result in results)
    assert abs(first - second) < 0.02 and first > 0.4
    assert "finished already" in ablate(*own).stdout


def test_a_copy_by_another_system_that_spells_names_otherwise_is_the_same_corpus(root: Path, tmp_path: Path) -> None:
    speaker = sorted((root / "train").iterdir())[0]
    found = []
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "zoé")
        speaker = speaker.rename(root / "train" / name)
        made = corpus(root)
        recordings = made.load("train", seed=0, cache=tmp_path / form, track=silent)
        found.append((made.fingerprint(tmp_path / form, silent), recordings.identity, recordings.names))
    assert found[0] == found[1]
