"""Orders drawn ahead against those of the bare generator."""

import pytest
import torch

from ablate.training.order import Order


def draw(generator: torch.Generator) -> torch.Tensor:
    return torch.randperm(1000, generator=generator, dtype=torch.int32)


def drawn(number: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [draw(generator) for _ in range(number)]


@pytest.mark.parametrize("ahead", [False, True])
def test_each_epoch_has_the_generators_next_permutation(ahead: bool) -> None:
    order = Order(7, draw, ahead=ahead)
    assert all(torch.equal(order.take(), expected) for expected in drawn(5))


@pytest.mark.parametrize(("ahead", "then"), [(False, True), (True, False), (True, True)])
def test_it_goes_on_from_where_another_was(ahead: bool, then: bool) -> None:
    """Whatever either has drawn ahead."""
    one, other = Order(7, draw, ahead=ahead), Order(8, draw, ahead=then)
    start = one.get_state()
    for _ in range(3):
        one.take()
    other.take()
    other.set_state(one.get_state())
    assert torch.equal(other.take(), drawn(4)[3])
    other.set_state(start)
    assert torch.equal(other.take(), drawn(1)[0])
