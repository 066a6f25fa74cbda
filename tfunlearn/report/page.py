"""Self-contained HTML page, built element by element; all text is escaped."""

from __future__ import annotations

import base64
import html
import os
import pathlib
import struct
from collections.abc import Iterable, Sequence

STYLE = """
:root { color-scheme: light; --ink: #1a1a1a; --soft: #555; --line: #c8c8c8; --back: #f4f4f1; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; color: var(--ink); background: #fff;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 2px solid
  var(--ink); } h3 { margin-top: 1.8rem; }
a { color: #0b4f8a; } :focus-visible { outline: 3px solid #0b4f8a; outline-offset: 2px; }
.skip { position: absolute; left: -100rem; } .skip:focus { position: static; }
.scroll { overflow-x: auto; } .note { color: var(--soft); }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-size: .92rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; } th[scope=row], th:first-child, td.text { text-align: left; }
thead th { border-bottom: 2px solid var(--ink); }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .92rem; }
.verdict { border-left: .5rem solid var(--soft); background: var(--back); padding: .6rem 1rem; }
.verdict.forgotten { border-color: #1b7a3d; } .verdict.over-forgotten, .verdict.partly {
  border-color: #b36b00; } .verdict.still-remembers, .verdict.damaged, .verdict.failed,
.verdict.not { border-color: #b3261e; }
code { font-size: .9em; word-break: break-all; } details { margin: .5rem 0; }
@media print { body { max-width: none; font-size: 10pt; } nav, .skip { display: none; }
  .scroll { overflow: visible; } figure, tr, .verdict { break-inside: avoid; }
  h2, h3 { break-after: avoid; } h2.run { break-before: page; } a { color: inherit; } }
"""
SCRIPT = (
    "addEventListener('beforeprint', () => document.querySelectorAll('details')"
    ".forEach(part => { part.open = true; }));"
)
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Page:
    """Builder of an HTML page.

    Args:
        title: main heading and document title.
        subtitle: the line below the heading.
    """

    def __init__(self, title: str, subtitle: str):
        self._title, self._subtitle, self._parts, self._contents = title, subtitle, [], []

    def heading(self, level: int, text: str, *, kind: str = "") -> None:
        """Add a heading; headings of level 2 are listed in the table of contents.

        Args:
            level: heading level, such as 2 or 3.
            text: the heading.
            kind: CSS class; default none.
        """
        anchor = f"part-{len(self._contents) + 1}"
        self._contents.append((level, text, anchor))
        mark = f' class="{kind}"' if kind else ""
        self._parts.append(f'<h{level} id="{anchor}"{mark}>{_text(text)}</h{level}>')

    def paragraph(self, text: str, kind: str = "") -> None:
        """Add a paragraph; `kind` is its CSS class, default none."""
        mark = f' class="{html.escape(kind)}"' if kind else ""
        self._parts.append(f"<p{mark}>{_text(text)}</p>")

    def listing(self, lines: Iterable[str]) -> None:
        """Add an unordered list."""
        self._parts.append("<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>")

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
        cells = "".join(
            f'<tr><th scope="row">{_cell(row[0])}</th>'
            + "".join(
                f'<td class="text">{_cell(cell)}</td>'
                if isinstance(cell, str) and len(cell) > 24
                else f"<td>{_cell(cell)}</td>"
                for cell in row[1:]
            )
            + "</tr>"
            for row in rows
        )
        columns = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
        table = (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(caption)}">'
            f"<table><caption>{_text(caption)}</caption><thead><tr>{columns}</tr></thead>"
            f"<tbody>{cells}</tbody></table></div>"
        )
        self._parts.append(
            f"<details><summary>{_text(caption)}</summary>{table}</details>" if folded else table
        )

    def figure(self, picture: str | os.PathLike, description: str, caption: str) -> None:
        """Add a PNG file with an alternative text (for screen readers) and a caption."""
        content = pathlib.Path(picture).read_bytes()
        width, height = struct.unpack(">II", content[16:24])
        self._parts.append(
            f'<figure><img src="data:image/png;base64,{base64.b64encode(content).decode()}" '
            f'alt="{_text(description)}" width="{width}" height="{height}">'
            f"<figcaption>{_text(caption)}</figcaption></figure>"
        )

    def text(self) -> str:
        """Return the HTML of the page."""
        contents = "".join(
            f'<li><a href="#{anchor}">{_text(text)}</a></li>'
            for level, text, anchor in self._contents
            if level == 2
        )
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f'<link rel="icon" href="data:,"><title>{_text(self._title)}</title>'
            f"<style>{STYLE}</style></head>\n<body>"
            f'<a class="skip" href="#main">Skip to the report</a>'
            f"<header><h1>{_text(self._title)}</h1><p>{_text(self._subtitle)}</p></header>\n"
            f'<nav aria-label="Contents"><ol>{contents}</ol></nav>\n<main id="main">\n'
            + "\n".join(self._parts)
            + f"\n</main><script>{SCRIPT}</script></body></html>\n"
        )


def _text(text) -> str:
    return html.escape(str(text), quote=True)


def _cell(value) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _text(value)
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f'<data value="{value!r}">{shown}</data>'
