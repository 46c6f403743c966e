"""Learning-rate curves are those that the run would have, and are drawn without training."""

from pathlib import Path

import pytest

from ablate.error import UserError
from ablate.training import plot
from tests.conftest import Command
from tests.trainings import checked

PNG = b"\x89PNG\r\n\x1a\n"


def curve(*overrides: str) -> plot.Curve:
    return plot.learning_rates(checked(overrides))


def test_the_curve_is_rate_times_schedule_over_the_epochs() -> None:
    found = curve("scheduler=linear", "scheduler.warmup=0", "optimizer.lr=0.5", "epochs=4")
    assert len(found.rates) == 1000 and found.epochs[0] == 0 and found.epochs[-1] == pytest.approx(4, abs=0.01)
    assert found.rates[0] == 0.5 and found.rates[-1] == 0
    assert found.rates[500] == pytest.approx(0.25, rel=0.01)


def test_plateaus_curve_is_that_of_a_run_that_never_improves() -> None:
    found = curve("scheduler=plateau", "scheduler.warmup=0", "scheduler.patience=1", "optimizer.lr=1", "epochs=5")
    assert [found.rates[200 * epoch] for epoch in range(5)] == pytest.approx([1, 1, 1, 0.3, 0.3])


def test_a_wrong_schedule_is_refused() -> None:
    with pytest.raises(UserError, match=r"scheduler.warmup"):
        curve("scheduler=cosine", "scheduler.warmup=1")
    with pytest.raises(UserError, match=r"optimizer.lr"):
        curve("optimizer.lr=-1")


def test_the_command_draws_all_of_a_multirun_and_trains_nothing(ablate: Command, tmp_path: Path) -> None:
    done = ablate("-m", "plot=scheduler", "scheduler=cosine,one_cycle", "optim.lr=1e-3,2e-3")
    assert done.returncode == 0, done.stderr
    picture = tmp_path / "outputs" / "plots" / "scheduler.png"
    assert picture.read_bytes().startswith(PNG)
    assert f"{picture.relative_to(tmp_path)}: 4 learning-rate curves; nothing is trained" in done.stdout
    assert not (tmp_path / "outputs" / "runs").exists()
