"""A study's page in a browser."""

from pathlib import Path

import numpy as np
import pytest

from ablate.__main__ import main
from tests.browser import EVERYWHERE, NEEDS_CHROMIUM, shown
from tests.report.studies import recorded

pytestmark = [pytest.mark.browser, NEEDS_CHROMIUM]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of a study with all there can be on it."""
    outputs = tmp_path_factory.mktemp("study") / "outputs"
    draw = np.random.default_rng(0)
    accuracies = {
        f"arch={arch},optimizer.lr={rate}": [
            0.6 + 0.05 * (arch == "pyramid") - 0.02 * (rate == "0.1") + 0.002 * float(draw.standard_normal())
            for _ in range(3)
        ]
        for arch in ("cylinder", "pyramid", "a_very_long_name_of_a_shape_that_somebody_has_made<b>")
        for rate in ("0.001", "0.01", "0.1")
    }
    factors = {"arch": ["cylinder", "pyramid"], "optimizer.lr": ["0.001", "0.01", "0.1"]}
    recorded(outputs, accuracies, factors=factors, question="Which shape, at which rate?", with_counts=True)
    assert main(["report", "shapes", "--output-dir", str(outputs)]) == 0
    return outputs / "studies/shapes/report.html"


@pytest.mark.parametrize(("width", "scheme"), EVERYWHERE)
def test_the_page_stands_by_itself_at_any_width(width: int, scheme: str, page: Path) -> None:
    with shown(page, width, scheme) as window:
        assert window.locator("figure svg").count() >= 6
