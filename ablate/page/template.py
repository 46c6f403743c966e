"""Pages from templates: one HTML file without any outside address, whatever is put into it escaped."""

from __future__ import annotations

from pathlib import Path


def rendered(template: Path, **values: object) -> str:
    """The page that a template makes of these values; it may build upon `base.html`, the look of all our pages."""
    import jinja2

    folders = [template.parent, Path(__file__).parent]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template(template.name).render(**values)
