"""Fills templates of pages."""

from __future__ import annotations

from typing import Any


def render(template: str, **values: Any) -> str:
    """The page that a template makes of values."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nagsdk.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template(template).render(**values)


def number(value: object) -> str:
    """A value as readable text; a dash if it is unknown."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.4g}"
    return str(value)
