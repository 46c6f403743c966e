"""Pictures: the same bytes from the same data, texts as texts."""

from typing import Any

from ablate.page.picture import drawn


def test_a_picture_is_the_same_each_time_and_its_texts_are_escaped() -> None:
    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], label="<b>$x$")
        axes.legend()

    first = drawn(draw, height=2)
    assert first.startswith("<svg") and first == drawn(draw, height=2)
    assert "&lt;b&gt;$x$" in first and "<b>" not in first
