"""Audio as recorders, pipes and disks leave it."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ablate.recipe.data.aligned import audio

SAMPLES = np.random.default_rng(0).integers(-3000, 3000, 5000, dtype=np.int16)


def encoded(kind: str = "WAV") -> bytearray:
    stream = io.BytesIO()
    soundfile.write(stream, SAMPLES, 16_000, format=kind, subtype="PCM_16")
    return bytearray(stream.getvalue())


def wav(riff: int | None = None, data: int | None = None, before: bytes = b"") -> bytes:
    """With these sizes in its header, and other chunks before the audio."""
    content = encoded()
    place = content.index(b"data")
    if data is not None:
        content[place + 4 : place + 8] = data.to_bytes(4, "little")
    content[place:place] = before
    if riff is not None:
        content[4:8] = riff.to_bytes(4, "little")
    return bytes(content)


def read(content: bytes, tmp_path: Path, suffix: str = ".wav") -> np.ndarray:
    file = tmp_path / f"a{suffix}"
    file.write_bytes(content)
    return audio.read(file).samples.numpy()


@pytest.mark.parametrize(
    "content",
    [
        wav(),
        wav(0, 0),
        wav(0x7FFFF024, 0x7FFFF000),  # sox, into a pipe
        wav(0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg, into a pipe
        wav(0x7FFFFFFF, 0x7FFFFFFF),  # Android
        wav(10_044 + 8),  # browsers
        wav(3),
        wav(before=b"LIST\x04\x00\x00\x00abcd"),
        wav(0, 0, before=b"junk\x03\x00\x00\x00abc\x00"),
        wav() + b"LIST\x04\x00\x00\x00abcd",
    ],
)
def test_a_wav_is_judged_by_its_data_chunk(content: bytes, tmp_path: Path) -> None:
    found = read(content, tmp_path)
    assert np.array_equal(found[: len(SAMPLES)], SAMPLES / np.float32(32768)) and len(found) == len(SAMPLES)


@pytest.mark.parametrize("kept", [20, 100, 5000, -2])
def test_a_wav_that_is_cut_is_refused(kept: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cut short"):
        read(wav()[:kept], tmp_path)


def test_a_flac_without_a_length_is_read_to_its_end(tmp_path: Path) -> None:
    content = encoded("FLAC")
    numbers = int.from_bytes(content[18:26], "big")
    content[18:26] = (numbers >> 36 << 36).to_bytes(8, "big")  # STREAMINFO's number of samples: 0 is unknown
    assert np.array_equal(read(bytes(content), tmp_path, ".flac"), SAMPLES / np.float32(32768))


def test_a_flac_that_lies_or_is_cut_is_refused_without_taking_its_word(tmp_path: Path) -> None:
    content = encoded("FLAC")
    numbers = int.from_bytes(content[18:26], "big")
    content[18:26] = ((numbers >> 36 << 36) | ((1 << 36) - 1)).to_bytes(8, "big")  # 256 GiB as float32
    with pytest.raises(ValueError, match=r"cut short: 5,000 samples, of 68,719,476,735"):
        read(bytes(content), tmp_path, ".flac")
    with pytest.raises(ValueError, match=r"cut short|can't be|not audio"):
        read(bytes(encoded("FLAC")[:4000]), tmp_path, ".flac")


def test_a_rate_that_is_a_slip_takes_no_memory(tmp_path: Path) -> None:
    speech = audio.Audio(torch.zeros(100), 44_101)
    with pytest.raises(ValueError, match="a rate of 44101 Hz, which can't be made 16000 Hz; is it right"):
        speech.resampled(16_000)
    for usual in (8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000):
        assert len(audio.Audio(torch.zeros(usual), usual).resampled(16_000)) == 16_000


@pytest.mark.parametrize("kind", ["AIFF", "W64", "RF64", "AU", "NIST"])
def test_another_container_that_is_cut_is_refused(kind: str, tmp_path: Path) -> None:
    content = bytes(encoded(kind))
    assert np.array_equal(np.round(read(content, tmp_path) * 32768), SAMPLES)
    for kept in (len(content) - 1600, len(content) // 2):
        with pytest.raises(ValueError, match=r"cut short|not audio"):
            read(content[:kept], tmp_path)


@pytest.mark.parametrize("rate", [1, 7, 999])
def test_a_rate_that_no_speech_has_is_named(rate: int, tmp_path: Path) -> None:
    content = encoded()
    content[24:28] = rate.to_bytes(4, "little")
    with pytest.raises(ValueError, match=f"a rate of {rate} Hz; is it right?"):
        read(bytes(content), tmp_path)


def test_hours_of_silence_are_no_utterance(tmp_path: Path) -> None:
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(3_600 * 1000 + 3_000_000, np.int16), 1000, format="FLAC", subtype="PCM_16")
    with pytest.raises(ValueError, match="longer than 3,600 s, expected an utterance"):
        read(stream.getvalue(), tmp_path, ".flac")


def test_a_huge_file_is_named_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(wav(riff=0xFFFFFFFF, data=0xFFFFFFFF))
    with file.open("r+b") as stream:
        stream.truncate(5 << 30)
    with pytest.raises(ValueError, match="5,368,709,120 bytes, expected an utterance"):
        audio.read(file)


def test_a_size_beyond_all_files_is_no_reason_to_print_a_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.rf64"
    soundfile.write(file, np.zeros(1600, np.float32), 16000, format="RF64", subtype="PCM_16")
    content = bytearray(file.read_bytes())
    place = content.index(b"ds64") + 8
    for number in range(3):  # of the whole, of the data, of the samples
        lying = bytearray(content)
        lying[place + 8 * number : place + 8 * number + 8] = ((1 << 63) - 1).to_bytes(8, "little")
        file.write_bytes(lying)
        assert len(audio.read(file).samples) == 1600
    assert capfd.readouterr().err == ""
