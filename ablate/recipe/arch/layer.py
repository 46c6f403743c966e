"""Layers that are torch's, but faster on some machines: the same functions, with other roundings or random bits."""

import functools
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

_CPU_INFO = Path("/proc/cpuinfo")
_LARGE = 2**17  # weights of a layer, below which a product by oneDNN costs more to begin than it saves


class Linear(nn.Linear):
    """torch's, but that 16-bit products on a GPU are padded with zeros to widths that are multiples of 8.

    Tensor cores want rows of whole 16 bytes: 5 layers of 1037 take 2.5 times as long as of 1024. On AMD's processors
    with AVX-512 the float32 products of large layers are oneDNN's in training, where torch takes MKL's.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (batch, out_features) of inputs (batch, in_features)."""
        if self._is_onednns(inputs):
            found: Tensor = Product.apply(inputs, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return found
        is_aligned = self.in_features % 8 == self.out_features % 8 == 0
        if is_aligned or not (inputs.is_cuda and torch.is_autocast_enabled("cuda")):
            return super().forward(inputs)
        return self.padded(inputs, torch.get_autocast_dtype("cuda"))

    def _is_onednns(self, inputs: Tensor) -> bool:
        return (
            self.training
            and inputs.device.type == "cpu"
            and inputs.dtype == self.weight.dtype == torch.float32
            and inputs.shape[1:] == (self.in_features,)
            and self.weight.numel() >= _LARGE
            and not torch.is_autocast_enabled("cpu")
            and by_onednn(_CPU_INFO)
        )

    def padded(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """The same by products of this type of padded widths."""
        inner, outer = -self.in_features % 8, -self.out_features % 8
        weight = pad(self.weight.to(dtype), (0, inner, 0, outer))
        bias = None if self.bias is None else pad(self.bias.to(dtype), (0, outer))
        outputs = linear(pad(inputs.to(dtype), (0, inner)), weight, bias)
        return outputs[:, : self.out_features].contiguous() if outer else outputs


class Product(torch.autograd.Function):
    """float32 inputs (batch, in_features) by weights (out_features, in_features), and a bias or none, by oneDNN.

    Its sums are rounded more often: up to twice as far from the exact ones as MKL's. The gradient of the weights is
    MKL's, which is as fast there: its operands lie across.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Outputs (batch, out_features)."""
        ctx.save_for_backward(inputs, weight)
        found: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Of inputs, weights and bias, where they are wanted."""
        (gradient,), (inputs, weight) = gradients, ctx.saved_tensors
        of_inputs, of_weight, of_bias = ctx.needs_input_grad
        return (
            Product.apply(gradient.contiguous(), weight.t(), None) if of_inputs else None,  # type: ignore[no-untyped-call]
            gradient.t() @ inputs if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


@functools.cache
def by_onednn(cpu_info: Path) -> bool:
    """Whether oneDNN's float32 products are faster here than MKL's: by an eighth on AMD's processors, with AVX-512.

    By whose processor it is and not by a measurement, so that a machine has the same bits each time.
    """
    has_both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    has_both &= torch.backends.cpu.get_cpu_capability() == "AVX512"
    maker = cpu_info.read_text(errors="replace") if cpu_info.exists() else platform.processor()
    return has_both and "AuthenticAMD" in maker


class Dropout(nn.Dropout):
    """torch's, but that a CPU draws 8 or 16 bits for a number where torch takes 64: its draws are 10 to 18 % of a step.

    They are SFC64's (C. Doty-Humphrey, PractRand), twice as fast as torch's, seeded by one of torch's at each call.
    Multiples of 2^-8, such as a quarter, take 8 bits; another probability is the nearest multiple of 2^-16 below 1.
    Outputs are scaled by what is kept on average.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs of any shape, in training some of them zero and the others larger."""
        if not self.training or inputs.device.type != "cpu":
            return super().forward(inputs)
        dtype, numbers = (np.int8, 2**8) if self.p < 1 and (2**8 * self.p).is_integer() else (np.int16, 2**16)
        size, threshold = inputs.numel(), min(round(self.p * numbers), numbers - 1)
        seed = int(torch.randint(2**63 - 1, ()))
        words = np.random.SFC64(seed).random_raw(-(-size * np.dtype(dtype).itemsize // 8))
        bits = torch.from_numpy(words.view(dtype))[:size].view(inputs.shape)
        kept = torch.ge(bits, threshold - numbers // 2, out=torch.empty_like(inputs))  # a mask of bools takes longer
        return inputs * kept.mul_(numbers / (numbers - threshold))
