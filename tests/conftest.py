"""What many tests share: the real command in a process of its own, and a cached tiny corpus."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ablate.recipe.data.corpus import Split
from tests.forked import ForkServer
from tests.wandb_server import WandbServer

Command = Callable[..., subprocess.CompletedProcess[str]]

# Each test process trains on all cores beside others: threads that wait must leave the cores to those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

gc.set_threshold(100_000, 50, 100)  # a twelfth of the time went into looks at the same modules again and again


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: many tests wait, for a server that does not answer or for Slurm's queue."""
    return 2 + (os.cpu_count() or 1)


_NOT_INHERITED = ("WANDB", "HYDRA", "ABLATE", "COMP_")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user without a wandb account, who has set nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return kept | {"NETRC": str(tmp_path_factory.mktemp("home") / "netrc")}


@pytest.fixture(scope="session")
def forks(environment: dict[str, str]) -> Iterator[ForkServer]:
    """Where commands are run that begin with what is imported already."""
    server = ForkServer(environment)
    yield server
    server.stop()


@pytest.fixture
def ablate(tmp_path: Path, environment: dict[str, str], forks: ForkServer) -> Command:
    """`ablate("arch=pyramid", ...)` runs the command in an empty folder; `env` adds to its environment.

    `module` is another command's.
    """

    def run(
        *arguments: str, cwd: Path = tmp_path, env: dict[str, str] | None = None, module: str = "ablate.run"
    ) -> subprocess.CompletedProcess[str]:
        is_late = all(name.startswith("WANDB") for name in env or ())  # which no library reads as it loads
        if is_late and sys.platform == "linux":
            return forks.run(module, list(arguments), cwd, environment | (env or {}), 300)
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=cwd,
            env=environment | (env or {}),
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture
def server() -> Iterator[WandbServer]:
    """A wandb server on loopback."""
    with WandbServer() as serving:
        yield serving


@pytest.fixture(scope="session")
def corpus_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An `output_dir/cache` that holds the train and val splits of espeak_tiny."""
    from ablate.config.check import instantiate
    from tests.trainings import checked

    cache = tmp_path_factory.mktemp("output") / "cache"
    corpus = instantiate(checked(["data=espeak_tiny"]), "data")
    splits: tuple[Split, ...] = ("train", "val")
    for split in splits:
        corpus.load(split, seed=0, cache=cache, track=lambda items, total, title: items)
    return cache


@pytest.fixture
def tiny(tmp_path: Path, corpus_cache: Path) -> list[str]:
    """Overrides of a run of seconds whose corpus is cached, in an `outputs` folder of its own."""
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "cache").symlink_to(corpus_cache)
    return ["data=espeak_tiny", "data.context=2", "arch.width=32", "epochs=1", "wandb.mode=disabled"]


@pytest.fixture
def shown(tiny: list[str]) -> list[str]:
    """As `tiny`, of a run that is shown in wandb: of `the-team` and project `hw`."""
    return [*(each for each in tiny if not each.startswith("wandb")), "wandb.entity=the-team", "wandb.project=hw"]
