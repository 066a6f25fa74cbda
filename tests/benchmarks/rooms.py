"""Lines and files of every room, and branches on method names outside their files.

    .venv/bin/python tests/benchmarks/rooms.py

A branch on a name is an `==`, `!=`, `in` or subscript with a built-in method's name as text, outside
the module that declares the method.
"""

from __future__ import annotations

import ast
import collections
import pathlib

from tfunlearn.conformance.families import FAMILIES

ROOT = pathlib.Path(__file__).resolve().parents[2]


def rooms() -> dict[str, tuple[int, int]]:
    """Return lines and files of every room."""
    found: dict[str, tuple[int, int]] = {}
    for folder, name in (
        *((path, path.name) for path in (ROOT / "tfunlearn").iterdir()),
        (ROOT / "cli", "cli"),
    ):
        files = list(folder.rglob("*.py")) if folder.is_dir() else []
        if files:
            found[name] = (sum(len(f.read_text().splitlines()) for f in files), len(files))
    return found


def homes() -> dict[str, set[str]]:
    """Return the files that declare each built-in method."""
    found = collections.defaultdict(set)
    for members in FAMILIES.values():
        for module in (ROOT / members._package.replace(".", "/")).glob("*.py"):
            text = module.read_text()
            for name in members:
                if f'name="{name}"' in text:
                    found[name].add(module.name)
    return found


def branches() -> list[str]:
    """Return the branches on method names outside the files that declare them."""
    own, found = homes(), []
    for folder in ("tfunlearn", "cli"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                texts = []
                if isinstance(node, ast.Compare):
                    parts = [node.left, *node.comparators]
                    for part in parts:
                        if isinstance(part, (ast.Tuple, ast.List, ast.Set)):
                            parts += part.elts
                        elif isinstance(part, ast.Constant):
                            texts.append(part.value)
                elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                    owner = ast.unparse(node.value)
                    if owner.isupper():  # a table of methods, not a field of some record
                        texts.append(node.slice.value)
                found += [
                    f"{file.relative_to(ROOT)}:{node.lineno}: {text}"
                    for text in texts
                    if text in own and file.name not in own[text]
                ]
    return found


if __name__ == "__main__":
    sizes = rooms()
    total = sum(lines for lines, _ in sizes.values())
    for name, (lines, files) in sorted(sizes.items(), key=lambda item: -item[1][0]):
        print(f"{name:14} {lines:6} lines {files:4} files {lines / total:6.1%}")
    print(f"{'all':14} {total:6} lines {sum(f for _, f in sizes.values()):4} files")
    found = branches()
    print(f"branches on method names outside their files: {len(found)}")
    print(*found, sep="\n")
