"""Combinations that make no sense are refused with the reason, never adjusted."""

from pathlib import Path

import pytest

from ablate.error import UserError
from tests.training import prepared


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["arch.depth=0", "regularization=dropout"], r"arch.dropout=0.25: expected at least 1 hidden layers"),
        (["arch.depth=0", "arch.num_params=1e5"], r"arch.num_params: a model without hidden layers"),
        (["arch=custom", "arch.widths=[0]"], r"arch.widths\[0\]: expected greater than or equal to 1"),
        (["arch.dropout=0.1", "regularization=dropout"], r"arch.dropout=0.1 and regularization.dropout=0.25 differ"),
        (["scheduler.warmup=1.5"], r"scheduler.warmup: expected less than or equal to 1, found 1.5"),
        (["precision=tf32", "device=cpu"], r"precision=tf32: expected an NVIDIA GPU"),
        (["precision=fp16", "optimizer=sam_adamw"], r"precision=fp16: .* SAM takes two"),
        (["augmentation=time_mask", "augmentation.probability=2"], r"augmentation.probability: expected less than"),
        (
            ["regularization=grad_clip", "regularization.max_gradient=1"],
            r"max_gradient=1.0 both clip the gradient; set one of them to null",
        ),
        (["optimizer=adam_to_sgd", "optimizer.switch=0"], r"optimizer.switch: expected greater than 0"),
        (["optimizer=nesterov", "optimizer.momentum=0"], r"optimizer.momentum: expected greater than 0"),
        (["initialization=normal", "initialization.deviation=0"], r"initialization.deviation: expected greater than 0"),
        (["batch_size=1"], r"batch_size=1: a batch norm needs at least 2"),
        (["max_params=1e5"], r"max_params=100000: the model has"),
        (["max_params=1e5", "arch.width=1000000", "arch.depth=3"], r"max_params=100000: the model has 2000634000040"),
        (["augmentation=freq_mask", "augmentation.coefficients=1"], r"augmentation.coefficients: expected greater"),
        (["augmentation=freq_mask", "augmentation.probability=0"], r"augmentation.probability: expected greater"),
        (["regularization.least_improvement=0.1"], r"nothing waits for one; give regularization.patience"),
        (["optimizer.decay_all=true", "optimizer.weight_decay=0"], r"optimizer.decay_all=true: there is no decay"),
        (["scheduler=cosine_restarts", "scheduler.cycles=2000"], r"scheduler.cycles: expected less than or equal"),
    ],
)
def test_it_is_refused_before_data_are_loaded(overrides: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        prepared(["data=espeak_tiny", *overrides], tmp_path)
    assert not (tmp_path / "cache").exists()
