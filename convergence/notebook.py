"""How results show themselves in a notebook: a small table, and nothing of what they hold is taken as markup."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

__all__ = ["table"]


def table(heading: str, rows: Mapping[str, Any]) -> str:
    """An HTML table of names and values; arrays as their range.

    >>> table("sharp bound", {"total": 0.25, "terms": [1.0, 2.0], "name": "a < b"})[-55:]
    '<tr><th>name</th><td>a &lt; b</td></tr></tbody></table>'
    """
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(_brief(value))}</td></tr>" for name, value in rows.items())
    return f"<table><caption>{escape(heading)}</caption><tbody>{lines}</tbody></table>"


def _brief(value: Any) -> str:
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        return str(value)
    if array.ndim == 0:
        return f"{float(array):.6g}" if array.dtype.kind == "f" else str(array)
    if not array.size:
        return "none"
    return f"{float(array.min()):.4g} to {float(array.max()):.4g}, shape {array.shape}"
