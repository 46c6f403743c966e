"""`ablate search`: trials are ordinary runs, members search together, and what is not worth it is left."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.__main__ import main
from tests.conftest import Command

pytest.importorskip("optuna")

SPACE = ["optim=adamw,sgd", "optim.lr=tag(log, interval(1e-4,1e-2))", "study.name=s"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plan() -> dict[str, list[dict[str, object]]]:
    content: dict[str, list[dict[str, object]]] = json.loads(Path("outputs/studies/s/plan.json").read_text())
    return content


def test_trials_are_runs_that_a_report_can_use_and_the_search_goes_on(
    tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *tiny, *SPACE, "--trials", "2"]) == 0
    told = capsys.readouterr().out
    assert "trial 0: optimizer=adamw,optimizer.lr=0.001: val/accuracy 0." in told and "trial 1: " in told
    results = {file.parent.name for file in Path("outputs/runs").glob("*/result.json")}
    assert {cell["key"] for cell in plan()["cells"]} == results and len(results) == 2
    first = plan()["cells"][0]
    assert isinstance(first["overrides"], list)
    capsys.readouterr()
    assert main(["run", *map(str, first["overrides"])]) == 0
    assert f"{first['key']} is finished already" in capsys.readouterr().out
    assert main(["search", *tiny, *SPACE, "--trials", "1"]) == 0
    assert "trial 2: " in capsys.readouterr().out
    assert main(["report", "s"]) == 0
    assert "baseline" in capsys.readouterr().out


def test_members_share_a_journal(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for number in (0, 1):
        assert main(["search", *tiny, *SPACE, "--trials", "1", "--journal", "journal.log"]) == 0
        assert f"trial {number}: " in capsys.readouterr().out
    own = [each for each in tiny if not each.startswith("output_dir")]
    best = max(json.loads(file.read_text())["metrics"]["val/accuracy"] for file in Path().rglob("result.json"))
    assert main(["search", *own, *SPACE, "--trials", "1", "--journal", "journal.log", "output_dir=b"]) == 0
    told, here = capsys.readouterr().out, json.loads(next(Path("b/runs").glob("*/result.json")).read_text())
    is_here = here["metrics"]["val/accuracy"] > best
    assert ("predicts by it" in told) == is_here and ("`ablate collect` brings it here" in told) != is_here
    assert main(["report", "s", "--output-dir", "b"]) == 0
    assert "`ablate collect` brings the runs that lie elsewhere" in capsys.readouterr().out


def test_members_who_begin_at_once_try_the_first_trial_once(
    tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from ablate.multirun import journal

    assert main(["search", *tiny, *SPACE, "--trials", "1"]) == 0
    found = journal.opened(Path("outputs/studies/s/search.log"), "s", "val/accuracy")
    (first,) = found.trials
    found.enqueue_trial(first.params, user_attrs=first.user_attrs)  # as another who has seen no trial
    capsys.readouterr()
    assert main(["search", *tiny, *SPACE, "--trials", "1"]) == 0
    assert "trial 2: " in capsys.readouterr().out
    assert [trial.state.name for trial in found.get_trials()] == ["COMPLETE", "FAIL", "COMPLETE"]


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_trial_whose_process_is_killed_at_any_line_of_the_journal_is_gone_on_with(
    at: int, tiny: list[str], environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    from ablate.multirun import journal

    log = Path("outputs/studies/s/search.log")
    script = f"""
import os, signal, sys
from ablate.multirun import journal
release, lines = journal.Lock.release, []
def counted(self):
    release(self)
    lines.append(self)
    if len(lines) == {at} + 1:  # the first is of the study
        os.kill(os.getpid(), signal.SIGKILL)
journal.Lock.release = counted
from ablate.__main__ import main
main(sys.argv[1:])
"""
    command = ["search", *tiny, *SPACE, "--trials", "1"]
    end = subprocess.run([sys.executable, "-c", script, *command], env=environment, capture_output=True, timeout=120)
    assert end.returncode == -signal.SIGKILL
    assert main(command) == 0
    assert "optimizer=adamw,optimizer.lr=0.001: val/accuracy" in capsys.readouterr().out
    trials = journal.opened(log, "s", "val/accuracy").get_trials()
    assert [trial.state.name for trial in trials if trial.state.name != "FAIL"] == ["COMPLETE"]


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_trial_is_gone_on_with(
    kill: signal.Signals, tiny: list[str], environment: dict[str, str], ablate: Command
) -> None:
    longer = [*(each for each in tiny if not each.startswith("epochs")), "epochs=60", *SPACE, "--trials", "1"]
    command = [sys.executable, "-m", "ablate.search", *longer]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        while not any(len(file.read_text().splitlines()) > 2 for file in Path("outputs/runs").glob("*/metrics.jsonl")):
            time.sleep(0.05)
        first.send_signal(kill)
        _, told = first.communicate(timeout=60)
    if kill == signal.SIGINT:
        assert first.returncode == 130
        assert told == "ablate: interrupted; the same command goes on with the search\n"
    rest = ablate(*longer, module="ablate.search")
    assert rest.returncode == 0, rest.stderr
    (run,) = Path("outputs/runs").iterdir()
    assert "resumed after epoch" in (run / "run.log").read_text()
    assert rest.stdout.startswith("trial 1: optimizer=adamw,optimizer.lr=0.001: val/accuracy"), rest.stdout


def test_a_trial_that_had_not_begun_to_train_is_tried_first_unless_its_process_lives(
    tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The kill is between Optuna's choice and the training, too short a time to hit."""
    import optuna

    from ablate.multirun import journal
    from ablate.record.lease import Owner

    assert main(["search", *tiny, *SPACE, "--trials", "1"]) == 0
    found = journal.opened(Path("outputs/studies/s/search.log"), "s", "val/accuracy")
    owners = [Owner.this(), dataclasses.replace(Owner.this(), pid=2**22)]
    for owner, rate in zip(owners, (0.002, 0.005), strict=True):
        found.enqueue_trial({"optimizer": "sgd", "optimizer.lr": rate})
        found.ask().set_user_attr("owner", dataclasses.asdict(owner))
    capsys.readouterr()
    assert main(["search", *tiny, *SPACE, "--trials", "1"]) == 0
    assert "trial 3: optimizer=sgd,optimizer.lr=0.005: " in capsys.readouterr().out
    states = [trial.state.name for trial in optuna.load_study(study_name="s", storage=found._storage).trials]
    assert states == ["COMPLETE", "RUNNING", "FAIL", "COMPLETE"]


def test_two_processes_on_a_small_space_train_each_run_once_and_count_no_trial_that_was_none(
    tiny: list[str], environment: dict[str, str]
) -> None:
    longer = [*(each for each in tiny if not each.startswith("epochs")), "epochs=30", "optim=adamw,sgd"]
    command = [sys.executable, "-m", "ablate.search", *longer, "study.name=s", "--trials", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    trials = list[str]()
    for each in both:
        out, told = each.communicate(timeout=120)
        assert each.returncode == 0 and "all 2 there are have been tried, or are with another process" in out, told
        trials += re.findall(r"^trial \d+: (.*): val/accuracy 0", out, re.M)
    assert sorted(trials) == ["optimizer=adamw", "optimizer=sgd"]
    logs = [file.read_text() for file in Path("outputs/runs").glob("*/run.log")]
    assert len(logs) <= 2 and all(log.count("epoch 30") == 1 for log in logs)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["objective=val/loss", *SPACE], "begun with objective: val/accuracy; found val/loss"),
        (["arch.depth=2", *SPACE], "begun with settings: .*; found arch.depth=2 "),
        ([*SPACE[1:], "optim=adamw,sam"], "begun with optimizer: adamw,sgd; found adamw,sam"),
        ([SPACE[0], SPACE[2], "optim.lr=interval(1e-4,1e-2)"], "of an interval, log; found numbers of an interval"),
        ([*SPACE, "arch.depth=int(interval(1,3))"], "arch.depth: not searched; found whole numbers of an interval"),
    ],
)
def test_a_search_goes_on_with_what_it_was_begun_with(
    asked: list[str], said: str, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *tiny, *SPACE, "--trials", "1"]) == 0
    capsys.readouterr()
    assert main(["search", *tiny, *asked, "--trials", "1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line) and line.startswith("ablate: study.name=s: is a search begun with ")
    assert len(list(Path("outputs/runs").iterdir())) == 1


def test_of_few_levels_each_is_tried_once(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    levels = ["optim.lr=1e-3,1e30,1e-2", "study.name=s"]
    assert main(["search", *tiny, *levels, "--trials", "9"]) == 0
    told = capsys.readouterr().out
    assert sorted(re.findall(r"optimizer.lr=([^:]*): val", told.partition("best of")[0])) == ["0.001", "0.01", "1e+30"]
    assert "all 3 there are have been tried" in told and "best of 3 whole trials: optimizer.lr=0.01" in told


def test_where_all_trials_diverge_none_is_called_good(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    levels = ["optim.lr=1e30,1e25", "objective=val/loss", "study.name=s"]
    assert main(["search", *tiny, *levels, "--trials", "2"]) == 0
    assert "val/loss inf\nit diverged, as all others did; smaller learning rates may not" in capsys.readouterr().out


def test_a_search_goes_on_with_its_journal(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *tiny, *SPACE, "--trials", "1", "--journal", "shared"]) == 0
    for other in ([], ["--journal", "another"]):
        assert main(["search", *tiny, *SPACE, "--trials", "1", *other]) == 2
        assert "study.name=s: is a search in another journal, which knows the runs of its" in capsys.readouterr().err
    assert main(["search", *tiny, *SPACE, "--trials", "1", "--journal", "shared"]) == 0
    assert "trial 1: " in capsys.readouterr().out


def test_a_search_goes_on_with_its_data(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from ablate.multirun import journal

    assert main(["search", *tiny, *SPACE, "--trials", "1"]) == 0
    found = journal.opened(Path("outputs/studies/s/search.log"), "s", "val/accuracy")
    found.set_user_attr("begun", {**found.user_attrs["begun"], "fingerprint of data": "another"})
    assert main(["search", *tiny, *SPACE, "--trials", "1"]) == 2
    assert "is a search begun with fingerprint of data: another; found " in capsys.readouterr().err


def test_a_search_takes_no_studys_name_and_says_what_comes_next(
    tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-m", *tiny, "optim=adamw,sgd", "study.name=s", "study.dry_run=true"]) == 0
    assert main(["search", *tiny, *SPACE, "--trials", "1"]) == 2
    assert "study.name=s: is a study, which a search would take the name of" in capsys.readouterr().err
    again = [each.replace("=s", "=t") if each.startswith("study.name") else each for each in SPACE]
    assert main(["search", *tiny, *again, "--trials", "2"]) == 0
    assert main(["next", "t"]) == 0
    assert "a study of the levels that did best, with study.seeds=3" in capsys.readouterr().out
    assert main(["resume", "t"]) == 2
    assert "t: is a search; the `ablate search` that has made it goes on" in capsys.readouterr().err
    assert main(["confirm", "t"]) == 2
    assert "t: is a search; the `ablate search` that has made it goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["study.name=s", "optim=sgd"], "nothing to choose from"),
        (["optim=adamw,sgd"], "study.name: missing"),
        (["optim=adamw,sgd", "study.name=s", "--trials", "0"], "--trials 0: expected at least 1"),
        (["optim=adamw,sgdd", "study.name=s"], "optimizer=sgdd: no such option"),
        (["optim.lr=interval(1e-3,1)", "study.name=s", "arch.depht=3"], "arch.depht: unknown key"),
        (["optim.lr=interval(-1,3)", "study.name=s"], "optimizer.lr: expected greater than 0, found -1"),
        (
            ["optim=adamw,sgd", "study.name=s", "--journal", "torn"],
            "torn: not a journal of Optuna's (ValueError: it has",
        ),
        (
            ["optim=adamw,sgd", "study.name=s", "--journal", "list"],
            "list: not a journal of Optuna's (Val",
        ),
        (
            ["arch.depth=interval(1,3)", "study.name=s"],
            "arch.depth: expected whole numbers, found others between",
        ),
        (["optim=adamw,sgd", "study.name=s", "hydra/launcher=processes"], "trials run one by one"),
    ],
)
def test_what_can_not_be_searched_is_refused(
    asked: list[str], said: str, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("torn").write_text('{"op_code":0')
    Path("list").write_text("[1, 2]\n")
    assert main(["search", *tiny, *asked]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not Path("outputs/runs").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["optim=adamw,sgd", "study.name=s", "study.seeds=3"], "study.seeds: a search has no use for it"),
        (["optim=adamw,sgd", "study.name=s", "study.dry_run=true"], "study.dry_run: a search has no use for it"),
        (["optim=adamw,sgd", "study.name=s", "rerun=true"], "rerun: a search has no use for it"),
        (["optim.lr=tag(log, interval(1e-1,1e-4))", "study.name=s"], "expected a smaller number before a larger one"),
        (["optim.lr=tag(log, interval(-1,1e-1))", "study.name=s"], "with log above 0"),
        (["optim=adamw,sgd", "study.name=s", "--journal", "garbage"], "not a journal of Optuna's"),
        (["optim=adamw,sgd", "study.name=s", "--journal", "no/where"], "--journal no/where: no such folder"),
    ],
)
def test_what_would_do_nothing_or_break_is_refused_in_a_line(
    asked: list[str], said: str, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("garbage").write_text("no journal\n")
    assert main(["search", *tiny, *asked]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(("accuracy", "is_left"), [(0.1, True), (0.95, False)])
def test_a_trial_is_left_where_earlier_ones_were_better_after_as_many_epochs(
    accuracy: float, is_left: bool, tmp_path: Path
) -> None:
    import optuna

    from ablate.multirun.search import _Watched
    from ablate.record.layout import ROWS, Layout
    from ablate.record.store import RunFolder
    from ablate.training.session import Session

    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=5))
    for number in range(5):
        earlier = study.ask()
        earlier.report(0.9 + 0.01 * number, 1)
        study.tell(earlier, 0.9)
    folder = RunFolder(Layout(tmp_path), "k")
    folder.path.mkdir(parents=True)
    watched = _Watched(Session(), study.ask(), folder, "val/accuracy")
    assert not watched.is_called_off()  # before its first epoch
    (folder.path / ROWS).write_text(json.dumps({"epoch": 1, "val/accuracy": accuracy}) + "\n")
    assert watched.is_called_off() == watched.is_pruned == is_left


def test_an_interval_around_zero_has_its_middle_there() -> None:
    from ablate.multirun.space import Interval

    assert Interval(-1, 1.0, is_log=False).middle() == 0
    assert Interval(0.01, 1.0, is_log=True).middle() == pytest.approx(0.1)
    assert Interval(1, 4, is_log=True).middle() == 2


def test_whole_numbers_are_tried_of_an_interval_of_them(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *tiny, "arch.depth=int(interval(1,3))", "study.name=s", "--trials", "2"]) == 0
    assert re.findall(r"trial \d: arch.depth=([123]):", capsys.readouterr().out)[0] == "2"
