"""The page in a browser: nothing is asked for from elsewhere, and a phone shows it whole."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ablate.__main__ import main
from tests.report.studies import recorded

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("ABLATE_REQUIRE_ALL") != "1", reason="needs Chromium, as of Debian"
    ),
]


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


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "ABLATE_REQUIRE_ALL=1 wants Chromium"
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_stands_by_itself_at_any_width(width: int, scheme: str, page: Path, browser: object) -> None:
    from playwright.sync_api import Browser

    assert isinstance(browser, Browser)
    shown = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    asked: list[str] = []
    said: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.goto(page.as_uri())
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()] and not said
    assert shown.evaluate("document.documentElement.scrollWidth") <= width, "it scrolls sideways"

    pictures = shown.locator("figure svg")
    assert pictures.count() >= 6
    for number in range(pictures.count()):
        box = pictures.nth(number).bounding_box()
        assert box and box["width"] > 300 and box["height"] > 100
    assert shown.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    for table in shown.locator("table").all():
        assert table.locator("th").count() > 0
    assert all(figure.get_attribute("aria-label") for figure in shown.locator("figure").all())
    assert shown.locator("b").count() == 0, "a level's name has become markup"

    ink, paper = (shown.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    assert _luminance(ink) > _luminance(paper) if scheme == "dark" else _luminance(ink) < _luminance(paper)
    shown.close()


def _luminance(colour: str) -> float:
    return sum(float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")[:3])
