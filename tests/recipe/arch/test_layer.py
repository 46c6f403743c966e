"""Faster layers, against torch's and against what their numbers should be."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ablate.recipe.arch import layer as layers
from ablate.recipe.arch.layer import Dropout, Linear, Product

HAS_ONEDNN = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs a torch with oneDNN")  # type: ignore[no-untyped-call]


@HAS_ONEDNN
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("batch", "inputs", "outputs"), [(1, 1, 1), (7, 13, 5), (300, 1148, 257)])
def test_onednns_product_is_about_as_near_to_the_exact_one_as_torchs(
    batch: int, inputs: int, outputs: int, bias: bool
) -> None:
    """Outputs and all gradients, by their distance from those of float64."""
    given = [torch.randn(batch, inputs), torch.randn(outputs, inputs), torch.randn(outputs) if bias else None]
    weights = torch.randn(batch, outputs)

    def made(product: object, dtype: torch.dtype) -> list[Tensor]:
        operands = [None if each is None else each.to(dtype, copy=True).requires_grad_() for each in given]
        found = product(*operands)  # type: ignore[operator]
        (found * weights.to(dtype)).sum().backward()
        return [found, *(each.grad for each in operands if each is not None and each.grad is not None)]

    exact, ours, torchs = made(linear, torch.float64), made(Product.apply, torch.float32), made(linear, torch.float32)
    assert len(exact) == len(ours) == (4 if bias else 3)
    for one, found, other in zip(exact, ours, torchs, strict=True):
        assert found.is_contiguous() and found.dtype == torch.float32
        assert (found - one).abs().mean() <= 3 * (other - one).abs().mean() + 1e-7 * one.abs().mean()


@HAS_ONEDNN
def test_a_gradient_of_a_gradient_is_torchs() -> None:
    operands = [torch.randn(6, 4), torch.randn(5, 4), torch.randn(5)]

    def second(product: object) -> Tensor:
        inputs, weight, bias = (each.clone().requires_grad_() for each in operands)
        found = product(inputs, weight, bias).square().sum()  # type: ignore[operator]
        (first,) = torch.autograd.grad(found, inputs, create_graph=True)
        (gradient,) = torch.autograd.grad(first.square().sum(), weight)
        return gradient

    torch.testing.assert_close(second(Product.apply), second(linear), rtol=1e-4, atol=1e-3)


@HAS_ONEDNN
def test_inputs_that_want_no_gradient_get_none() -> None:
    inputs, weight = torch.randn(3, 4), torch.randn(5, 4, requires_grad=True)
    Product.apply(inputs, weight, None).sum().backward()  # type: ignore[no-untyped-call]
    assert inputs.grad is None
    torch.testing.assert_close(weight.grad, inputs.sum(0).expand(5, 4))


@pytest.mark.parametrize(
    ("vendor", "instructions", "is_onednns"),
    [("AuthenticAMD", "AVX512", True), ("GenuineIntel", "AVX512", False), ("AuthenticAMD", "AVX2", False)],
)
def test_whose_processor_it_is_says_which_library_multiplies(
    vendor: str, instructions: str, is_onednns: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_onednns &= torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    monkeypatch.setattr(layers, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    layer, batch = Linear(512, 256), torch.randn(3, 512)
    found = layer(batch)
    assert (type(found.grad_fn).__name__ == "ProductBackward") == is_onednns
    assert type(Linear(512, 255)(batch).grad_fn).__name__ == "AddmmBackward0", "a small one is torch's"
    torch.testing.assert_close(found, linear(batch, layer.weight, layer.bias))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(batch).dtype == torch.bfloat16
    layer(batch.view(3, 1, 512).requires_grad_()).sum().backward()
    assert type(layer.eval()(batch).grad_fn).__name__ == "AddmmBackward0", "whoever takes the model has torch's"


@pytest.mark.parametrize(("inputs", "outputs", "bias"), [(9, 8, True), (16, 5, False), (9, 5, True), (16, 8, True)])
def test_a_padded_product_is_the_product(inputs: int, outputs: int, bias: bool) -> None:
    """With its gradients; in float64, where padding may change nothing but the order of sums."""
    layer = Linear(inputs, outputs, bias=bias).double()
    plain = nn.Linear(inputs, outputs, bias=bias).double()
    plain.load_state_dict(layer.state_dict())
    batch = torch.randn(3, inputs, dtype=torch.float64)
    weights = torch.randn(3, outputs, dtype=torch.float64)
    assert torch.equal(layer(batch), plain(batch)), "float64 on a CPU is torch's"
    found, expected = layer.padded(batch, torch.float64), plain(batch)
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected)
    for parameters, made in ((layer.parameters(), found), (plain.parameters(), expected)):
        for parameter in parameters:
            parameter.grad = None
        (made * weights).sum().backward()
    for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_odd_widths_are_padded_on_a_gpu() -> None:
    layer = Linear(9, 5).cuda()
    batch = torch.randn(64, 9, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        found = layer(batch)
    assert found.dtype == torch.bfloat16 and found.shape == (64, 5)
    torch.testing.assert_close(found.float(), layer(batch), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("probability", [1 / 256, 0.05, 0.2, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_has_its_distribution(probability: float, dtype: torch.dtype) -> None:
    """Each input alike and independently of its neighbours, as far as half a million draws tell (5 sigma)."""
    torch.manual_seed(3)
    layer = Dropout(probability)
    ones = torch.ones(799, 641, dtype=dtype)  # an odd number: not all bits of the last word are used
    draws = layer(ones)
    kept = (draws != 0).double()
    scale = 65536 / (65536 - round(probability * 65536))
    assert draws.dtype == dtype and set(draws.unique().tolist()) == {0, float(torch.tensor(scale, dtype=dtype))}
    deviation = (probability * (1 - probability)) ** 0.5

    def close(found: Tensor, count: int) -> bool:
        return bool((found.abs() < 5 * deviation / count**0.5).all())

    assert close(kept.mean() - (1 - probability), kept.numel())
    for place in range(8):  # of a word
        column = kept.flatten()[place::8]
        assert close(column.mean() - (1 - probability), len(column))
    for apart in (1, 2, 3, 4, 641):
        one, other = kept.flatten()[:-apart], kept.flatten()[apart:]
        agree = ((one - 1 + probability) * (other - 1 + probability)).mean()
        assert abs(agree) < 5 * deviation**2 / len(one) ** 0.5, apart
    assert not torch.equal(layer(ones), draws)
    torch.manual_seed(3)
    assert torch.equal(layer(ones), draws)


def test_a_dropout_of_nearly_all_keeps_one_in_65536() -> None:
    torch.manual_seed(3)
    kept = Dropout(0.99999)(torch.ones(2**22)).count_nonzero()
    assert 64 - 5 * 8 < kept < 64 + 5 * 8


def test_dropouts_gradient_has_its_mask_and_evaluation_none() -> None:
    layer = Dropout(0.3)
    inputs = torch.randn(50, 7, requires_grad=True)
    outputs = layer(inputs)
    outputs.sum().backward()
    assert inputs.grad is not None
    torch.testing.assert_close(outputs, inputs * inputs.grad)
    assert 0 < (inputs.grad == 0).sum() < inputs.numel()
    layer.eval()
    assert layer(inputs) is inputs
