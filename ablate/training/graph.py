"""A step that asks nothing of the host, captured as a CUDA graph, so that a GPU does not wait for Python.

Launched kernel by kernel, a step of a small network takes a GPU's host several times as long as the GPU works on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ablate.recipe import optimizer as optimizers
from ablate.training.data import Frames
from ablate.training.prepare import Training
from ablate.training.shards import Streamed

Update = Callable[[Frames | Streamed, Tensor, Tensor], tuple[Tensor, Tensor]]
"""A step on the frames whose rows (batch,) and labels (batch,) are given: its mean loss, and how many are correct."""

_WARM_UP = 3  # steps in which libraries and optimizers make what they keep; they count as any other


def can_capture(training: Training) -> bool:
    """Whether a step of this training can be a graph: on an NVIDIA GPU, where its optimizer never asks the host."""
    on_gpu = training.device.type == "cuda"
    return on_gpu and optimizers.can_capture(training.optimizer, training.config["precision"])


class Captured:
    """The steps of a training, each of which finds its batch and its rate by a counter on the device.

    The first ones are launched kernel by kernel, then one is captured and launched whole ever after: the same kernels,
    and the same bits. Where it can't be captured, `refused` says why, and all are launched kernel by kernel.
    `loss_sum` and `correct`, on the device, are of the steps since the last `begin`.
    """

    def __init__(self, training: Training, update: Update) -> None:
        device, size = training.device, training.config["batch_size"]
        frames = training.steps_an_epoch * size
        self.loss_sum = torch.zeros((), device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.refused = ""
        self._training, self._update = training, update
        # A graph reads and writes the same memory each time, so that each epoch's frames are copied to where it looks.
        self._rows = torch.zeros(frames, dtype=torch.int32, device=device)
        self._labels = torch.zeros(frames, dtype=training.train.labels.dtype, device=device)
        self._rates = torch.zeros(training.steps_an_epoch, device=device)
        self._rate = torch.zeros((), device=device)
        self._done = torch.zeros(1, dtype=torch.int64, device=device)
        self._of_a_batch = torch.arange(size, device=device)
        self._warm = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def begin(self, rows: Tensor, labels: Tensor, rates: Sequence[float]) -> None:
        """An epoch of the frames at these rows, at least (steps x batch,), each step with its rate."""
        self._rows.copy_(rows[: len(self._rows)])
        self._labels.copy_(labels[: len(self._labels)])
        self._rates.copy_(torch.tensor(rates))
        for total in (self._done, self.loss_sum, self.correct):
            total.zero_()

    def step(self) -> None:
        """The next step of the epoch."""
        if self._graph is None and self._warm >= _WARM_UP and not self.refused and self._rows.is_cuda:
            self._capture()
        if self._graph:
            self._graph.replay()
        else:
            self._launch()
            self._warm += 1

    def _launch(self) -> None:
        """The step itself, of which all that changes lies on the device."""
        places = self._done * len(self._of_a_batch) + self._of_a_batch
        rows, labels = self._rows.index_select(0, places), self._labels.index_select(0, places).long()
        self._rate.copy_(self._rates.index_select(0, self._done).squeeze(0))
        with optimizers.on_device(self._training.optimizer, self._rate):
            loss, hits = self._update(self._training.train, rows, labels)
        self.loss_sum += loss
        self.correct += hits
        self._done += 1

    def _capture(self) -> None:
        self._training.optimizer.zero_grad(set_to_none=True)  # the graph's gradients lie in its own memory
        try:
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self._training.augmentation_stream.generator)
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._launch()
        except RuntimeError as error:
            self.refused = str(error).strip().splitlines()[0]
            self._training.optimizer.zero_grad(set_to_none=True)
            torch.cuda.synchronize()
        else:
            self._graph = graph
