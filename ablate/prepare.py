"""The parts of a training, made in a fixed order from the config; what is wrong stops it before data are loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from ablate import machine
from ablate.compose import GROUPS, Config, check, instantiate
from ablate.display import Screen, few
from ablate.error import UserError
from ablate.recipe import arch
from ablate.recipe.augmentation import Augmentation
from ablate.recipe.data.cache import DamagedError, Recordings
from ablate.recipe.data.corpus import Corpus, Split, combined, of_both
from ablate.recipe.data.phoneme import PHONEMES
from ablate.recipe.data.table import FrameTable
from ablate.recipe.optimizer import takes_two_gradients
from ablate.recipe.regularization import Regularization
from ablate.recipe.scheduler import Schedule

_MANY_UTTERANCES = 5_000  # whose loading takes seconds
_MOST_READINGS = 3  # each split's file in the cache may be damaged
_FRAME_COST = 150_000  # in multiplications: about what the smallest model's frame takes on two cores

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Frames:
    """A split on the device: `first` (frames,) is each frame's row in the overlapping view `windows`."""

    windows: Tensor
    first: Tensor
    labels: Tensor
    table: FrameTable

    @staticmethod
    def of(table: FrameTable, context: int, device: torch.device) -> Frames:
        """The table's frames with `context` frames a side."""
        table = table.to(device)
        return Frames(table.windows(context), table.centre - context, table.labels, table)

    def __len__(self) -> int:
        return len(self.labels)


class Stream:
    """Random numbers of its own for code that draws from torch's global generator of a device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._global = global_random(device)
        self.state: Tensor = torch.Generator(device).manual_seed(seed).get_state()

    def __enter__(self) -> None:
        self._outer = self._global.get_rng_state()
        self._global.set_rng_state(self.state)

    def __exit__(self, *_: object) -> None:
        self.state = self._global.get_rng_state()
        self._global.set_rng_state(self._outer)


def global_random(device: torch.device) -> Any:
    """The module whose `get_rng_state` and `set_rng_state` are those of a device's global generator."""
    return torch if device.type == "cpu" else torch.get_device_module(device)


@dataclass(frozen=True)
class Training:
    """The parts of a training, made and checked, with its data on the device."""

    config: Config
    device: torch.device
    model: nn.Sequential
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    augment: Augmentation
    regularization: Regularization
    scaler: GradScaler
    order: torch.Generator
    augmentation_stream: Stream
    train: Frames
    val: Frames

    @property
    def steps_an_epoch(self) -> int:
        """Whole batches."""
        return len(self.train) // int(self.config["batch_size"])

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return self.steps_an_epoch * int(self.config["epochs"])


class Tables:
    """The normalized tables of this process's latest runs, as many as fit into a quarter of its memory."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[FrameTable, FrameTable]] = {}
        self._limit = psutil.virtual_memory().total // 4

    def get(
        self, config: Config, fingerprint: str, make: Callable[[], tuple[FrameTable, FrameTable]]
    ) -> tuple[FrameTable, FrameTable]:
        """The training and validation tables of a config, made unless a run with the same data has been before."""
        data = {key: value for key, value in config["data"].items() if key != "context"}  # one table serves them all
        seed = config["seed"] if data["fraction"] < 1 else None
        name = json.dumps([data, fingerprint, config["normalization"], config["output_dir"], seed], sort_keys=True)
        found = self._made.pop(name, None)
        if not found:
            self._make_room()
            found = make()
        self._made[name] = found
        return found

    def _make_room(self) -> None:
        """Let go of the oldest until one more of the largest would fit."""
        while self._made:
            sizes = [sum(table.nbytes for table in tables) for tables in self._made.values()]
            if sum(sizes) + max(sizes) <= self._limit:
                return
            del self._made[next(iter(self._made))]


def rehearse(config: Config, corpus: Corpus) -> torch.device:
    """Refuse what is wrong with the parts of a training, with neither data nor memory for a model; gives the device.

    Raises `UserError`.
    """
    for group in GROUPS:
        check(config, group)
    device = machine.configure(config["device"], config["precision"], config["threads"])
    with torch.device("meta"):
        model, _, _ = _parts(config, corpus)
    if takes_two_gradients(instantiate(config, "optimizer", model)) and config["precision"] == "fp16":
        raise UserError("precision=fp16: its loss scaling knows one gradient a step, and SAM takes two; take bf16")
    return device


def cost(config: Config) -> float:
    """What a run's training costs relative to another's on the same data: multiplications a frame x its frames.

    A frame costs something beside its multiplications, which is all that counts in a small model.
    """
    corpus: Corpus = instantiate(config, "data")
    with torch.device("meta"):
        model = instantiate(config, "arch", (2 * corpus.context + 1) * _asked(corpus.num_mfcc), len(PHONEMES))
    return float((arch.multiply_adds(model) + _FRAME_COST) * config["epochs"] * corpus.fraction)


def prepare(config: Config, corpus: Corpus, fingerprint: str, screen: Screen, tables: Tables | None = None) -> Training:
    """All parts of a training. What is wrong with the config is refused before data of this fingerprint are loaded.

    Raises `UserError`.
    """
    device = rehearse(config, corpus)
    model, augment, regularization = _parts(config, corpus)
    generator = torch.Generator().manual_seed(stream_seed(config, "initialization"))
    instantiate(config, "initialization", model, generator, config["arch"]["activation"])
    optimizer = instantiate(config, "optimizer", model.to(device))

    train, val = (tables or Tables()).get(config, fingerprint, lambda: _tables(config, corpus, fingerprint, screen))
    if config["batch_size"] > len(train.labels):
        raise UserError(f"batch_size={config['batch_size']}: the training split has only {len(train.labels)} frames")
    steps = len(train.labels) // config["batch_size"] * config["epochs"]
    if (switch := getattr(optimizer, "switch", None)) and switch > 1 - 1 / steps:
        raise UserError(f"optimizer.switch={switch}: comes behind the last of the run's {steps} steps")
    schedule = instantiate(config, "scheduler", steps)
    return Training(
        config=config,
        device=device,
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        augment=augment,
        regularization=regularization,
        scaler=GradScaler(device.type, enabled=config["precision"] == "fp16"),
        order=torch.Generator().manual_seed(stream_seed(config, "order")),
        augmentation_stream=Stream(stream_seed(config, "augmentation"), device),
        train=Frames.of(train, corpus.context, device),
        val=Frames.of(val, corpus.context, device),
    )


def _parts(config: Config, corpus: Corpus) -> tuple[nn.Sequential, Augmentation, Regularization]:
    """The model before its initialization, and what the config alone decides."""
    num_frames, num_mfcc = 2 * corpus.context + 1, _asked(corpus.num_mfcc)
    model = _model(config, num_frames * num_mfcc)
    augment = instantiate(config, "augmentation", num_frames, num_mfcc)
    regularization = instantiate(config, "regularization")
    return model, augment, regularization


def _model(config: Config, num_inputs: int) -> nn.Sequential:
    dropout = config["regularization"].get("dropout", 0)
    if dropout and config["arch"].get("dropout") != dropout:
        raise UserError(
            f"arch.dropout={config['arch'].get('dropout')} and regularization.dropout={dropout} differ, and both "
            "are the model's dropout; give one of them"
        )
    model: nn.Sequential = instantiate(config, "arch", num_inputs, len(PHONEMES))
    if config["max_params"] is not None and (size := arch.num_params(model)) > config["max_params"]:
        raise UserError(f"max_params={config['max_params']}: the model has {size} parameters; choose a smaller arch")
    if config["batch_size"] == 1 and any(isinstance(module, nn.BatchNorm1d) for module in model):
        raise UserError("batch_size=1: a batch norm needs at least 2 frames a batch; or take arch.norm=layer or none")
    return model


def load(config: Config, corpus: Corpus, screen: Screen) -> tuple[Recordings, Recordings]:
    """The training and validation splits, checked and in the cache; what is left out is told.

    Raises `UserError` that names what is wrong with either.
    """
    cache = Path(config["output_dir"], "cache")

    def read(split: Split) -> Recordings:
        return corpus.load(split, seed=config["seed"], cache=cache, track=screen.track)

    train, val = _asked(lambda: of_both(read))
    for name, recordings in (("train", train), ("val", val)):
        if faults := recordings.faults:
            screen.say(f"bad utterances of data.{name} left out: {len(faults)} ({few(list(faults))})")
    return train, val


def _tables(config: Config, corpus: Corpus, fingerprint: str, screen: Screen) -> tuple[FrameTable, FrameTable]:
    for _ in range(_MOST_READINGS):
        train, val = load(config, corpus, screen)
        if combined(train.identity, val.identity) != fingerprint:
            raise UserError("data: files have changed since the run began; give the same command again")
        try:
            return _made(config, corpus, train, val, screen)
        except DamagedError as damage:
            screen.announce(f"{damage}; the data are read anew")
    raise UserError(
        f"output_dir={config['output_dir']}: the cache in it is damaged as soon as it is made; is its disk sound?"
    )


def _made(
    config: Config, corpus: Corpus, train: Recordings, val: Recordings, screen: Screen
) -> tuple[FrameTable, FrameTable]:
    if shared := sorted(train.speakers & val.speakers):
        screen.announce(f"warning: {few(shared)} speak in both splits: new speakers will be understood worse")
        if same := sorted(set(train.names) & set(val.names)):
            screen.announce(f"warning: {few(same)} are in both splits: what is trained on validates nothing")

    def table(recordings: Recordings) -> FrameTable:
        track = screen.track if len(recordings.names) > _MANY_UTTERANCES else _untracked
        return FrameTable.of(recordings, normalize, corpus.boundary, corpus.dtype, track)

    normalize = instantiate(config, "normalization", train)
    return table(train), table(val)


def _untracked(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    return items


def _asked(question: Callable[[], Answer]) -> Answer:
    """The answer of a corpus; what it finds wrong with the user's data is the user's to mend."""
    try:
        return question()
    except ValueError as error:
        raise UserError(str(error)) from error


def stream_seed(config: Config, stream: str) -> int:
    """The seed of one of the run's streams of random numbers; 63 bits of a hash, so that no two are alike."""
    digest = hashlib.sha256(f"{stream}/{config['seed']}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1
