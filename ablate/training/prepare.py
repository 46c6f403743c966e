"""The parts of a training, made in a fixed order from the config; what is wrong stops it before data are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from ablate.config.check import check, instantiate, refuse
from ablate.config.settings import Config
from ablate.display import Screen
from ablate.error import UserError, refusing
from ablate.recipe import arch
from ablate.recipe import optimizer as optimizers
from ablate.recipe.augmentation import Augmentation
from ablate.recipe.averaging import Averaging
from ablate.recipe.data.corpus import Corpus
from ablate.recipe.data.phoneme import PHONEMES
from ablate.recipe.data.table import FrameTable
from ablate.recipe.regularization import Regularization
from ablate.recipe.scheduler import Schedule
from ablate.training import data, machine
from ablate.training.data import Frames
from ablate.training.order import Order
from ablate.training.session import Tables
from ablate.training.shards import Streamed
from ablate.training.stream import Stream, stream_seed

_FRAME_COST = 150_000  # in multiplications: about what the smallest model's frame takes on two cores


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
    averaging: Averaging | None
    scaler: GradScaler
    order: Order[Any]  # of what `train` draws
    augmentation_stream: Stream
    train: Frames | Streamed
    val: Frames
    class_names: list[str]

    @property
    def steps_an_epoch(self) -> int:
        """Whole batches."""
        return len(self.train) // self.config["batch_size"]

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return self.steps_an_epoch * self.config["epochs"]

    @property
    def validated(self) -> nn.Module:
        """The model that is validated and kept: the average once weights have come into it, else the trained one."""
        averaging = self.averaging
        return averaging.mean.module if averaging and averaging.mean.n_averaged > 0 else self.model


def rehearse(config: Config, corpus: Corpus) -> torch.device:
    """Refuse what is wrong with the parts of a training, with neither data nor memory for a model; gives the device.

    Raises `UserError`.
    """
    check(config)
    problems: list[str] = []
    with _noting(problems):
        device = machine.configure(config["device"], config["precision"], config["threads"])
    with _noting(problems), torch.device("meta"):
        model, _, _ = _parts(config, corpus)
        optimizers.check_precision(instantiate(config, "optimizer", model), config["precision"])
    refuse(problems)
    return device


@contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    """A context whose refusal is told together with others."""
    try:
        yield
    except (UserError, ValueError) as error:
        problems += str(error).splitlines()


def cost(config: Config) -> float:
    """What a run's training costs relative to another's on the same data: multiplications a frame x its frames.

    A frame costs something beside its multiplications, which is all that counts in a small model.
    """
    corpus: Corpus = instantiate(config, "data")
    with torch.device("meta"):
        model = instantiate(config, "arch", (2 * corpus.context + 1) * _num_mfcc(corpus), len(PHONEMES))
    return float((arch.multiply_adds(model) + _FRAME_COST) * config["epochs"] * corpus.fraction)


def prepare(config: Config, corpus: Corpus, fingerprint: str, screen: Screen, tables: Tables) -> Training:
    """All parts of a training. What is wrong with the config is refused before data of this fingerprint are loaded.

    Raises `UserError`.
    """
    device = rehearse(config, corpus)
    model, augment, regularization = _parts(config, corpus)
    generator = torch.Generator().manual_seed(stream_seed(config["seed"], "initialization"))
    instantiate(config, "initialization", model, generator, config["arch"]["activation"])
    optimizer = instantiate(config, "optimizer", model.to(device))

    train, val = tables.get(config, fingerprint, lambda: data.tables(config, corpus, fingerprint, screen))
    data.check_size(config, len(train.labels))
    steps_an_epoch = len(train.labels) // config["batch_size"]
    steps = steps_an_epoch * config["epochs"]
    with refusing():
        optimizers.check_length(optimizer, steps)
    schedule = instantiate(config, "scheduler", steps)
    frames = _frames(config, corpus, train, device)
    if isinstance(frames, Streamed):
        screen.say(f"data.device_budget: the training split passes through {device.type} {frames.passes} x an epoch")
    return Training(
        config=config,
        device=device,
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        augment=augment,
        regularization=regularization,
        averaging=instantiate(config, "averaging", model, config["epochs"], steps_an_epoch),
        scaler=GradScaler(device.type, enabled=config["precision"] == "fp16"),
        order=Order(stream_seed(config["seed"], "order"), frames.draw, ahead=device.type == "cuda"),
        augmentation_stream=Stream(stream_seed(config["seed"], "augmentation"), device),
        train=frames,
        val=Frames.of(val, corpus.context, device),
        class_names=corpus.class_names(),
    )


def _frames(config: Config, corpus: Corpus, table: FrameTable, device: torch.device) -> Frames | Streamed:
    """The training frames: on the device, or passing through it where they are more than `data.device_budget`."""
    budget = corpus.device_budget
    if budget is None or table.features.nbytes <= budget * 1e9:
        return Frames.of(table, corpus.context, device)
    try:
        return Streamed(table, corpus.context, device, round(budget * 1e9), config["batch_size"])
    except ValueError as error:
        raise UserError(f"data.device_budget={budget}: {error}") from error


def _parts(config: Config, corpus: Corpus) -> tuple[nn.Sequential, Augmentation, Regularization]:
    """The model before its initialization, and what the config alone decides."""
    num_frames, num_mfcc = 2 * corpus.context + 1, _num_mfcc(corpus)
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
    problems = []
    if config["max_params"] is not None and (size := arch.num_params(model)) > config["max_params"]:
        problems.append(f"max_params={config['max_params']}: the model has {size} parameters; choose a smaller arch")
    if config["batch_size"] == 1 and any(isinstance(module, nn.BatchNorm1d) for module in model):
        problems.append("batch_size=1: a batch norm needs at least 2 frames a batch; or take arch.norm=layer or none")
    refuse(problems)
    return model


def _num_mfcc(corpus: Corpus) -> int:
    with refusing():  # what a corpus finds wrong with the user's data is the user's to mend
        return corpus.num_mfcc()
