"""What is shared out computes in one thread each, and the threads are there again afterwards."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from ablate.recipe.data.threads import single_thread


@pytest.mark.parametrize("number", [1, 2, 3])
def test_torch_has_one_thread_inside_in_new_threads_too_and_its_own_outside(number: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with pytest.raises(RuntimeError, match="planted"), single_thread() as threads, ThreadPoolExecutor(2) as pool:
            assert threads == number and torch.get_num_threads() == 1
            assert list(pool.map(lambda _: torch.get_num_threads(), range(4))) == [1] * 4
            raise RuntimeError("planted")
        assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
