"""Pages: what is put into them is escaped, a value that is missing is an error."""

from pathlib import Path

import jinja2
import pytest

from ablate.page.template import rendered


def test_values_are_escaped_in_the_look_of_all_pages(tmp_path: Path) -> None:
    template = tmp_path / "own.html"
    template.write_text('{% extends "base.html" %}{% block main %}<p>{{ name }}</p>{% endblock %}')
    text = rendered(template, name="<script>")
    assert "<p>&lt;script&gt;</p>" in text and "prefers-color-scheme: dark" in text
    with pytest.raises(jinja2.UndefinedError):
        rendered(template)
