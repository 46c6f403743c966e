"""Pages in a browser: nothing is asked for from elsewhere, and a phone shows them whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("ABLATE_REQUIRE_ALL") != "1", reason="needs Chromium, as of Debian"
)
EVERYWHERE = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]


@contextmanager
def shown(page: Path, width: int, scheme: str) -> Iterator[Any]:
    """A page in a window of this width, which asks for nothing, says nothing, fits, and can be read."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "ABLATE_REQUIRE_ALL=1 wants Chromium"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        window = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
        )
        asked: list[str] = []
        said: list[str] = []
        window.on("request", lambda request: asked.append(request.url))
        window.on("console", lambda message: said.append(message.text))
        window.on("pageerror", lambda error: said.append(str(error)))
        window.goto(page.as_uri())
        assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()] and not said
        assert window.evaluate("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
        _check_content(window)
        ink, paper = (
            window.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor")
        )
        assert (_luminance(ink) > _luminance(paper)) == (scheme == "dark")
        yield window
        browser.close()


def _check_content(window: Any) -> None:
    pictures = window.locator("figure svg")
    for number in range(pictures.count()):
        box = pictures.nth(number).bounding_box()
        assert box and box["width"] > 300 and box["height"] > 100
    assert window.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert all(table.locator("th").count() > 0 for table in window.locator("table").all())
    assert all(figure.get_attribute("aria-label") for figure in window.locator("figure").all())
    assert window.locator("b").count() == 0, "a name has become markup"


def _luminance(colour: str) -> float:
    return sum(float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")[:3])
