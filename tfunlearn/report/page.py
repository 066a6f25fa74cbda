"""Self-contained HTML page, built element by element; all text is escaped."""

from __future__ import annotations

import base64
import functools
import os
import pathlib
import struct
from collections.abc import Iterable, Sequence
from typing import Any

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Page:
    """Builder of an HTML page.

    Args:
        title: main heading and document title.
        subtitle: the line below the heading.
    """

    def __init__(self, title: str, subtitle: str):
        self._title, self._subtitle = title, subtitle
        self._parts: list[dict[str, Any]] = []

    def heading(self, level: int, text: str, *, kind: str = "") -> None:
        """Add a heading; headings of level 2 are listed in the table of contents.

        Args:
            level: heading level, such as 2 or 3.
            text: the heading.
            kind: CSS class; default none.
        """
        number = sum(part["kind"] == "heading" for part in self._parts) + 1
        self._add("heading", level=level, text=text, mark=kind, anchor=f"part-{number}")

    def paragraph(self, text: str, kind: str = "") -> None:
        """Add a paragraph; `kind` is its CSS class, default none."""
        self._add("paragraph", text=text, mark=kind)

    def listing(self, lines: Iterable[str]) -> None:
        """Add an unordered list."""
        self._add("list", lines=list(lines))

    def table(
        self,
        caption: str,
        head: Sequence[str],
        rows: Sequence[Sequence],
        *,
        folded: bool = False,
    ) -> None:
        """Add a table; the first cell of each row is the row header.

        Args:
            caption: caption of the table.
            head: names of the columns.
            rows: cells: text, a number (floats are shown with four significant digits, with the
                full value in the markup), or None.
            folded: whether the table is collapsed until the reader opens it; default False.
        """
        self._add("table", caption=caption, head=head, rows=rows, folded=folded)

    def figure(self, picture: str | os.PathLike, description: str, caption: str) -> None:
        """Add a PNG file with an alternative text (for screen readers) and a caption."""
        content = pathlib.Path(picture).read_bytes()
        width, height = struct.unpack(">II", content[16:24])
        self._add(
            "figure",
            content=base64.b64encode(content).decode(),
            description=description,
            caption=caption,
            width=width,
            height=height,
        )

    def text(self) -> str:
        """Return the HTML of the page."""
        return _template().render(
            title=self._title, subtitle=self._subtitle, parts=self._parts, policy=POLICY
        )

    def _add(self, kind: str, **values: Any) -> None:
        self._parts.append({"kind": kind, **values})


@functools.cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfunlearn.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["shown"] = lambda value: (
        f"{value:,}" if isinstance(value, int) else "0" if abs(value) < 1e-12 else f"{value:.4g}"
    )
    environment.filters["exact"] = repr
    return environment.get_template("page.html.j2")
