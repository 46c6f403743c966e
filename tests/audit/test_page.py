"""An audit's page in a browser, and what it does with names that are markup."""

import shutil
from pathlib import Path

import pytest

from ablate.audit.__main__ import main
from tests.audit.planted import FAULTS, OTHER, change, read, write
from tests.browser import EVERYWHERE, NEEDS_CHROMIUM, shown

EVIL = "zz<b>\x1b[31m-<script>alert(1)</script>".replace("/", "\N{FULLWIDTH SOLIDUS}")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, sound: Path) -> Path:
    """That of a corpus with faults of several kinds, and a copy under a name that is markup."""
    root = Path(shutil.copytree(sound, tmp_path_factory.mktemp("bad") / "root"))
    for fault in ("NaN", "a speaker in two splits"):
        FAULTS[fault].plant(root)
    write(root, "train", EVIL, *read(root, "train", OTHER))
    silent = [f"train{number:03}-{number:05}" for number in range(10, 15)]
    change(root, "train", silent, lambda features, labels: (0 * features, labels))
    output = root.parent / "outputs"
    assert main(["data=hw1p2", f"data.root={root}", f"output_dir={output}"]) == 1
    (found,) = output.glob("audits/*/report.html")
    return found


def test_names_that_are_markup_are_text(page: Path) -> None:
    text = page.read_text()
    assert "<b>" not in text and "<script>" not in text and "\x1b" not in text
    assert "zz&lt;b&gt;\\x1b[31m-&lt;script&gt;" in text
    assert f"train/{EVIL}" in (page.parent / "leave_out.txt").read_text().splitlines()


def test_it_is_the_same_from_the_same_data(page: Path) -> None:
    before, output = page.read_bytes(), page.parents[2]
    assert main(["data=hw1p2", f"data.root={output.parent}/root", f"output_dir={output}"]) == 1
    assert page.read_bytes() == before


@pytest.mark.browser
@NEEDS_CHROMIUM
@pytest.mark.parametrize(("width", "scheme"), EVERYWHERE)
def test_the_page_stands_by_itself_at_any_width(width: int, scheme: str, page: Path) -> None:
    with shown(page, width, scheme) as window:
        assert window.locator("figure svg").count() >= 6
        assert window.locator("ul.findings > li").count() == 4
