"""Which versions of torch and torchaudio go together, and which make the same bits."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.config.check import instantiate
from ablate.error import UserError
from ablate.recipe.data.installed import bits_version, check_pair
from tests.trainings import checked


def install(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Let packages seem to be installed in these versions."""
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda package: versions.get(package) or real(package))


@pytest.mark.parametrize("version", ["2.10.0", "2.10.0+cu128", "2.11.0", "2.11.0+cpu"])
def test_a_corpus_has_one_fingerprint_under_the_tested_releases(
    version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, torchaudio=version)
    for data, fingerprint in (("espeak", "99257629eee1287b"), ("espeak_tiny", "2767ae98ee44d79c")):
        corpus = instantiate(checked([f"data={data}"]), "data")
        assert corpus.fingerprint(tmp_path, lambda items, total, title: items) == fingerprint, "as recorded before"


@pytest.mark.parametrize("release", ["2.11.1", "2.12.0"])
def test_another_release_stands_for_itself(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, torchaudio=f"{release}+cpu", soundfile="0.13.1")
    assert (bits_version("torchaudio"), bits_version("soundfile")) == (release, "0.13.1")


@pytest.mark.parametrize(
    ("torch", "torchaudio", "remedy"),
    [
        ("2.10.0+cu128", "2.11.0", "torchaudio==2.10.0"),
        ("2.11.0", "2.10.0", "torchaudio==2.11.0"),
        ("2.11.0+cpu", "2.11.1+cu132", "torchaudio==2.11.0"),
        ("2.12.0", "2.11.0", "torch==2.11.0 torchaudio==2.11.0"),
        ("2.12.0", "2.12.1", "torch==2.11.0 torchaudio==2.11.0"),
    ],
)
def test_what_does_not_go_together_is_refused(
    torch: str, torchaudio: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, torch=torch, torchaudio=torchaudio)
    with pytest.raises(UserError) as told:
        check_pair()
    assert f"`pip install {remedy}`" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("release", ["2.10.0", "2.11.0"])
def test_what_goes_together_is_not(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, torch=f"{release}+cu128", torchaudio=f"{release}+cpu")
    check_pair()


@pytest.mark.parametrize("multirun", [[], ["--multirun", "optim=sgd,adamw"]])
def test_a_training_stops_before_torchaudio_is_loaded(multirun: list[str], tiny: list[str], tmp_path: Path) -> None:
    code = (
        "import importlib.metadata as metadata, sys\nreal = metadata.version\n"
        "metadata.version = lambda name: '2.9.0' if name == 'torchaudio' else real(name)\n"
        "from ablate.run import command\n"
        f"code = command({[*tiny, *multirun]!r})\n"
        "assert 'torchaudio' not in sys.modules\nsys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "with torchaudio 2.9.0: expected both of one release" in done.stderr
    assert not (tmp_path / "outputs" / "runs").exists()
