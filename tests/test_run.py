"""The real command, in a process and a folder of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from ablate.command.frame import left_as_found
from tests import wandb_file
from tests.conftest import Command
from tests.recipe.data.hw1p2_folder import write


def only_run(folder: Path) -> Path:
    (run,) = (folder / "outputs" / "runs").iterdir()
    return run


def result_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "result.json").read_text())
    return content


def test_a_run_is_trained_recorded_and_then_shown_without_torch(
    ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    done = ablate(*tiny, "optim=sgd", "team.member=2")
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    result = result_of(run)
    assert {file.name for file in run.iterdir()} == {
        "result.json", "metrics.jsonl", "config.yaml", "best.pt", "inference.pt", "confusion.npy", "utterances.csv",
        "run.log",
    }  # fmt: skip
    assert result["key"] == run.name and len(run.name) == 16 and result["status"] == "finished"
    assert set(result["metrics"]) == {"val/accuracy", "val/loss", "train/accuracy", "train/loss", "best_epoch"}
    assert result["overrides"][-2:] == ["optimizer=sgd", "team.member=2"] and result["member"] == 2
    assert result["choices"]["optimizer"] == "sgd" and result["choices"]["arch"] == "cylinder"
    assert result["machine"]["device"] == "cpu" and result["machine"]["threads"] >= 1 and result["machine"]["cpu"]
    assert {
        "seconds",
        "frames_per_second",
        "layers",
        "num_params",
        "multiply_adds",
        "epochs",
        "seed",
        "versions",
        "git_commit",
    } <= set(result)
    assert result["data_fingerprint"] and result["results_version"] == 3 and result["format"] == 1
    assert yaml.safe_load((run / "config.yaml").read_text())["optimizer"]["_target_"] == "ablate.recipe.optimizer.sgd"
    assert "epoch 1/1" in (run / "run.log").read_text()
    assert "layers 140-32-32-40, 6,952 parameters" in (run / "run.log").read_text() and result["layers"] == [
        140,
        32,
        32,
        40,
    ]
    torch.load(run / "best.pt", weights_only=True)
    np.load(run / "confusion.npy", allow_pickle=False)
    assert run.name in done.stdout and f"{result['metrics']['val/accuracy']:.4f}" in done.stdout

    before = {file: file.read_bytes() for file in run.iterdir()}
    code = (
        "import sys; from ablate.run import command\n"
        f"assert command({[*tiny, 'optimizer=sgd']!r}) == 0\n"
        "print([name for name in ('torch', 'numpy', 'scipy', 'wandb') if name in sys.modules])"
    )
    again = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "finished already" in again.stdout and "another run" in again.stdout and again.stdout.endswith("[]\n")
    assert {file: file.read_bytes() for file in run.iterdir()} == before


def test_rerun_trains_again_to_the_same_bits_and_keeps_the_earlier_record(
    ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    assert ablate(*tiny).returncode == 0
    run = only_run(tmp_path)
    first = (run / "best.pt").read_bytes()
    done = ablate(*tiny, "rerun=true")
    assert done.returncode == 0, done.stderr
    assert (run / "best.pt").read_bytes() == first == (run / "earlier-1" / "best.pt").read_bytes()
    assert result_of(run)["metrics"] == result_of(run / "earlier-1")["metrics"]


def test_bits_do_not_depend_on_the_launchers_thread_variables(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    runs = []
    for name, variables, more in (
        ("a", {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}, []),
        ("b", {"OMP_NUM_THREADS": "7", "OMP_THREAD_LIMIT": "1", "OMP_DYNAMIC": "true"}, ["-m"]),
    ):
        folder = tmp_path / name
        shutil.copytree(tmp_path / "outputs", folder / "outputs", symlinks=True)
        assert ablate(*tiny, *more, cwd=folder, env=variables).returncode == 0
        runs.append(only_run(folder))
    assert (runs[0] / "best.pt").read_bytes() == (runs[1] / "best.pt").read_bytes()


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_how_threads_wait_is_the_users_to_say(
    given: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with left_as_found():
        assert os.environ.get("GOMP_SPINCOUNT") == spins
        assert "OMP_THREAD_LIMIT" not in os.environ, "how many there are is the config's, and torch is not loaded yet"
    assert dict(os.environ) == before


def test_a_process_that_a_command_is_all_of_ends_without_a_search_for_cycles() -> None:
    code = (
        "import atexit, gc\n"
        "atexit.register(lambda: print('cycles are', 'left' if gc.get_freeze_count() else 'sought'))\n"
        "from ablate.command.frame import end, framed\n"
        "print(framed(lambda _: 0, []), gc.get_freeze_count())\n"
        "{}(0)"
    )
    for command, said in (("end", "0 0\ncycles are left\n"), ("exit", "0 0\ncycles are sought\n")):
        done = subprocess.run([sys.executable, "-c", code.format(command)], capture_output=True, text=True, check=True)
        assert done.stdout == said


def test_a_multirun_trains_every_combination(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    done = ablate(*tiny, "optim=sgd,adamw", "--multirun", "arch=cylinder,pyramid", "study.name=shapes")
    assert done.returncode == 0, done.stderr
    choices = [result_of(run)["choices"] for run in (tmp_path / "outputs" / "runs").iterdir()]
    assert {(choice["arch"], choice["optimizer"]) for choice in choices} == {
        ("cylinder", "sgd"), ("cylinder", "adamw"), ("pyramid", "sgd"), ("pyramid", "adamw"),
    }  # fmt: skip


def test_an_offline_run_can_be_read_back_from_wandbs_file(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    done = ablate(*[each for each in tiny if "wandb" not in each], "arch=pyramid", "arch.depth=3", "epochs=2")
    assert "given twice" in done.stderr and done.returncode == 2
    done = ablate(
        *[each for each in tiny if each[:5] not in ("wandb", "epoch")], "arch=pyramid", "arch.depth=3", "epochs=2"
    )
    assert done.returncode == 0, done.stderr
    assert (
        "wandb: offline (no API key was found)" in done.stdout
        and "wandb sync outputs/wandb/offline-run-" in done.stdout
    )
    (folder,) = (tmp_path / "outputs" / "wandb").glob("offline-run-*")
    run, result = wandb_file.read(folder), result_of(only_run(tmp_path))
    assert run.run.run_id == f"{result['key']}-1" and run.run.job_type == "train" and not run.run.run_group
    assert "arch=pyramid" in run.run.display_name and "arch.depth=3" in run.run.display_name
    assert "seed=0" in run.run.display_name and "cylinder" not in run.run.display_name
    assert run.config["key"] == result["key"] and run.config["arch"]["depth"] == 3
    rows = [json.loads(line) for line in (only_run(tmp_path) / "metrics.jsonl").read_text().splitlines()]
    epochs = [row for row in run.history if "epoch" in row]  # the last row has the tables
    assert [{name: row[name] for name in rows[0]} for row in epochs] == rows
    assert run.exit_code == 0 and run.summary["best/val/accuracy"] == result["metrics"]["val/accuracy"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["optim=foo"], "optimizer=foo: no such option; expected one of adadelta, adagrad, adam, "),
        (["optimizer.lrr=1"], "optimizer.lrr: unknown key; did you mean optimizer.lr?"),
        (["lr=1"], "lr: unknown key; did you mean optimizer.lr?"),
        (["optimzer=sgd"], "optimzer: unknown key; did you mean optimizer?"),
        (["optim.lr=fast"], "optimizer.lr: expected a valid number, found 'fast'"),
        (["optimizer.lr=-1"], "optimizer.lr: expected greater than 0, found -1"),
        (["data=hw1p2"], "data.root: missing"),
        (["data=hw1p2", "data.root=nowhere"], "data.root=nowhere: no such folder"),
        (["+unknown.key=1"], "unknown: no run has such a node"),
        (["~optimizer"], "optimizer: missing"),
        (["optimizer._target_=os.system"], "optimizer._target_: expected a public callable of ablate.recipe.optimizer"),
        (["seed=1", "seed=2"], "seed: given twice, as '1' and as '2'; give it once"),
        (["--mutlirun"], "--mutlirun: unknown flag"),
        (["optimizer"], "optimizer: expected key=value"),
        (["optim=sgd,adam"], "add --multirun"),
        (["output_dir=/proc/nowhere"], "output_dir=/proc/nowhere: can't be written"),
        (["wandb.mode=online"], "wandb.mode=online: no API key"),
        (["max_params=1000"], "max_params=1000: the model has"),
        (["-m", "optim=sgd,foo"], "optimizer=foo: no such option"),
        (["scheduler.warmup=1"], "scheduler.warmup=1.0 leaves 0 of"),
        (["device=mps"], "device=mps: not on this machine"),
        (["batch_size=1"], "batch_size=1: a batch norm needs at least 2"),
        (["batch_size=999999"], "batch_size=999999: the training split has only"),
        (["optimizer=null"], "optimizer=null: give a group the name of one of its options"),
        (["data=hw1p2", "data.root=/a (1)/b=1"], "quotes: 'data.root=\"/a (1)/b=1\"'"),
        (["data=hw1p2", "data.root=~nobody/x"], "key=value; put a value with special characters in quotes"),
        (["data=aligned", "data.labels={ɑ: AA}"], "key=value; what the command line can't say goes into a file"),
        (["arch=[pyramid,diamond]"], "arch: expected one option"),
        (["data=aligned", "data.root=.", "data.labels={m: N}"], "data.labels: a table, which has no such entry; +data"),
        (["data.root=/x"], "data.root: only some options of data have it: aligned, hw1p2"),
        (["data=aligned", "data.labels.AX=AH"], "data.labels.AX: not in the table data.labels; +data"),
        (["--cfg"], "--cfg: expected one of job, hydra, all behind it, found nothing"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_run(
    arguments: list[str], said: str, ablate: Command, tiny: list[str], tmp_path: Path
) -> None:
    base = [each for each in tiny if not any(each.split("=")[0] == word.split("=")[0] for word in arguments)]
    done = ablate(*base, *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 6
    assert not (tmp_path / "outputs" / "runs").exists()


def test_a_traceback_is_shown_if_asked_for(ablate: Command) -> None:
    done = ablate("optim=foo", env={"HYDRA_FULL_ERROR": "1"})
    assert done.returncode == 2 and "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("_target_: [", "conf/optimizer/mine.yaml"),
        ("_target_: ablate.recipe.optimizer.sgd\nlr: 0.1\n", "optimizer.decay_all: missing"),
        ("- a list", "mine"),
        ("_target_: os.system\ncommand: touch hacked\n", "expected a public callable of ablate.recipe.optimizer"),
        ("", "optimizer"),
        ("3", "conf/optimizer/mine.yaml"),
        ("\xff\xfe", "conf/optimizer/mine.yaml"),
        ("defaults: [mine]", "no defaults in a circle"),
        ("_target_: ablate.recipe.optimizer.nn.Linear", "expected a public callable"),
    ],
)
def test_a_broken_yaml_of_the_users_own(text: str, said: str, ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    own = tmp_path / "conf" / "optimizer"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_bytes(text.encode("latin-1"))
    done = ablate(*tiny, "optimizer=mine")
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 6
    assert not (tmp_path / "hacked").exists() and not (tmp_path / "outputs" / "runs").exists()


def test_a_config_of_the_users_own_cannot_replace_ours(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "conf" / "arch").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text("seed: 5\n")
    done = ablate(*tiny)
    assert done.returncode == 2 and "conf/config.yaml: it would replace ablate's own" in done.stderr


def test_a_reader_that_has_enough_costs_nothing(tiny: list[str], tmp_path: Path, environment: dict[str, str]) -> None:
    command = f"{sys.executable} -m ablate.run {' '.join(tiny)}"
    for line in (f"{command} | true; exit ${{PIPESTATUS[0]}}", f"{command} seed=1 >/dev/full"):
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == "", done.stderr
    runs = list((tmp_path / "outputs" / "runs").iterdir())
    assert len(runs) == 2 and all(result_of(run)["status"] == "finished" for run in runs)


def test_a_full_disk_is_said_and_loses_nothing(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    """A folder of one mebibyte, where the user may mount one: the second epoch's files have no room."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        (small / "cache").symlink_to(tmp_path / "outputs" / "cache")
        done = ablate(*[each for each in tiny if "width" not in each], "arch.width=512", f"output_dir={small}")
        assert done.returncode == 1 and "No space left on device" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 6
        assert not list(small.glob("runs/*/result.json")) and not list(small.glob("runs/*/.*.tmp"))
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_diverged_run_is_a_result(ablate: Command, tiny: list[str], tmp_path: Path) -> None:
    overrides = [*tiny, "optim=sgd", "optim.lr=1e30", "arch.norm=none", "arch.activation=relu"]
    done = ablate(*overrides)
    assert done.returncode == 0 and "the run diverged" in done.stdout, done.stderr
    result = result_of(only_run(tmp_path))
    assert result["status"] == "diverged" and result["metrics"]["val/accuracy"] is None
    again = ablate(*overrides)
    assert again.returncode == 0 and "diverged already" in again.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_epoch_finish_and_the_same_command_goes_on(
    number: signal.Signals, tiny: list[str], tmp_path: Path, environment: dict[str, str], ablate: Command
) -> None:
    overrides = [*[each for each in tiny if "epochs" not in each], "epochs=60"]
    with subprocess.Popen(
        [sys.executable, "-m", "ablate.run", *overrides],
        cwd=tmp_path, env=environment | {"PYTHONUNBUFFERED": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout and process.stderr
        while "epoch 2/60" not in process.stdout.readline():
            assert process.poll() is None
        os.kill(process.pid, number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping after this epoch" in stdout and "goes on from the last whole epoch" in stderr
    rows = (only_run(tmp_path) / "metrics.jsonl").read_text().splitlines()
    assert 2 <= len(rows) < 60 and (only_run(tmp_path) / "checkpoint.pt").exists()
    done = ablate(*overrides)
    assert done.returncode == 0 and f"resumed after epoch {len(rows)}" in done.stdout
    rows = (only_run(tmp_path) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == list(range(1, 61))


def test_a_second_process_says_who_trains_the_run_and_leaves(
    tiny: list[str], tmp_path: Path, environment: dict[str, str], ablate: Command
) -> None:
    overrides = [*[each for each in tiny if "epochs" not in each], "epochs=100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "ablate.run", *overrides],
        cwd=tmp_path, env=environment | {"PYTHONUNBUFFERED": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout
        while "epoch 1/100000" not in process.stdout.readline():
            assert process.poll() is None
        second = ablate(*overrides)
        assert second.returncode == 1 and f"process {process.pid} on " in second.stderr
        assert len(second.stderr.splitlines()) == 1 and process.poll() is None
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert not (only_run(tmp_path) / "lease.json").exists()


def test_help_explains_groups_aliases_and_examples(ablate: Command) -> None:
    done = ablate("--help")
    assert done.returncode == 0
    assert "arch: custom, cylinder, diamond, hourglass, inverse_pyramid, pyramid" in done.stdout
    assert "optim is optimizer" in done.stdout and done.stdout.count("python -m ablate.run") >= 5


def test_the_config_is_shown_by_either_name(ablate: Command) -> None:
    by_alias = ablate("optim=sgd", "--cfg", "job", "-p", "optim").stdout
    assert "ablate.recipe.optimizer.sgd" in by_alias
    assert by_alias == ablate("--cfg", "job", "-p", "optimizer", "optimizer=sgd").stdout


def test_real_speech_in_the_courses_layout(ablate: Command, tmp_path: Path) -> None:
    write(tmp_path / "root", lengths={"7-1": 90, "8-1": 90}, sil="[SIL]", ends=("[SOS]", "[EOS]"), num_mfcc=13)
    overrides = ["data=hw1p2", "data.root=root", "epochs=1", "wandb.mode=disabled", "batch_size=32"]
    done = ablate(*overrides)
    assert done.returncode == 0, done.stderr
    assert "warning: 7, 8 speak in both splits" in done.stdout
    log = (only_run(tmp_path) / "run.log").read_text()
    assert "warning: 7-1, 8-1 are in both splits" in log
    assert "finished already" in ablate(*overrides[:1], f"data.root={tmp_path}/root", *overrides[2:]).stdout
    (tmp_path / "root" / "dev-clean" / "transcript" / "7-1.npy").write_bytes(b"broken")
    done = ablate(*overrides)
    assert done.returncode == 2 and "  transcript/7-1.npy: not an .npy file" in done.stderr
    healthy = (tmp_path / "root" / "train-clean-100" / "mfcc" / "8-1.npy").read_bytes()
    (tmp_path / "root" / "train-clean-100" / "mfcc" / "8-1.npy").write_bytes(b"")
    both = ablate(*overrides)
    assert both.returncode == 2 and "  mfcc/8-1.npy: not a" in both.stderr and "  transcript/7-1.npy:" in both.stderr
    study = ablate("--multirun", *overrides, "arch=cylinder,pyramid")
    assert study.returncode == 2 and study.stderr == both.stderr  # once, and before any run
    (tmp_path / "root" / "train-clean-100" / "mfcc" / "8-1.npy").write_bytes(healthy)
    done = ablate(*overrides, "data.on_bad_utterance=drop")
    assert done.returncode == 0 and "bad utterances left out: 1 (7-1); result.json" in done.stdout
    assert "bad utterances of data.val left out: 1 (7-1)" in done.stdout
    dropped = [result_of(run)["dropped_utterances"] for run in (tmp_path / "outputs" / "runs").iterdir()]
    ((split, faults),) = next(filter(None, dropped)).items()
    assert split == "val" and len(dropped) == 2
    assert list(faults) == ["7-1"] and faults["7-1"][0].startswith("transcript/7-1.npy: not an .npy file")


def test_a_signal_in_a_multiruns_run_stops_the_multirun(
    tiny: list[str], tmp_path: Path, environment: dict[str, str]
) -> None:
    overrides = [*[each for each in tiny if "epochs" not in each], "epochs=30", "-m", "study.seeds=3"]
    with subprocess.Popen(
        [sys.executable, "-m", "ablate.run", *overrides],
        cwd=tmp_path, env=environment | {"PYTHONUNBUFFERED": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        while not any(file.read_bytes().count(b"\n") == 29 for file in tmp_path.glob("outputs/runs/*/metrics.jsonl")):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert only_run(tmp_path), "another run has begun"
