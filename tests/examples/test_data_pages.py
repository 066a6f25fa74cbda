"""Pages and examples about data of one's own: their commands run, in order, in an empty folder.

A block `python` is run, unless its first line is a comment with a file name: it is saved under that
name. A block `sh` is run line by line. Blocks marked `no-run` need packages or data that are not
here.
"""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "cli"))
sys.path.insert(0, str(ROOT / "tests" / "datasets"))
from foreign_files import client_database, iris  # noqa: E402
from forkserver import ForkServer  # noqa: E402

PAGES = sorted(ROOT.glob("docs/data/*.md"))
EXAMPLES = [ROOT / "examples" / name / "README.md" for name in ("authors", "patients", "photos")]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"# ([\w/]+\.py)\n")
LESS = {"--rounds": "1", "--retrains": "1", "--recovery-rounds": "1"}
QUICK = {"--retrains": "1"}  # rounds of the authors take 0.03 s, and one round teaches nothing
LINES, MOST_COMMANDS = 90, 10
PREPARED = {"tfds.md": iris, "federated.md": client_database}  # what the pages say they start from


@pytest.fixture(scope="module")
def commands():
    with ForkServer() as server:
        yield server


def _shortened(words: list[str], less: dict[str, str]) -> list[str]:
    """Return a command of fewer rounds and models; `unlearn` without the retrained one."""
    more = ["--no-reference"] if words[0] == "unlearn" and "retrain" not in words else []
    return [*(less.get(before, word) for before, word in zip(["", *words], words)), *more]


def _lines(block: str) -> list[str]:
    """Return the commands of a block, with lines that `\\` continues joined."""
    joined = re.sub(r"\\\n\s*", "", block)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def _run(words: list[str], folder: pathlib.Path, **more) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, **more
    )
    assert done.returncode == 0, f"{words[-1]}\n{done.stdout}{done.stderr}"


def _run_block(kind: str, block: str, folder: pathlib.Path, commands: ForkServer, less) -> None:
    saved = SAVED.match(block)
    if kind == "python" and saved:
        (folder / saved[1]).write_text(block)
    elif kind == "python":
        code = re.sub(r"\b(rounds=)\d+", r"\g<1>1", block)
        code = code.replace("recovery_rounds=1", "recovery_rounds=1, reference=False")
        _run([sys.executable, "-c", code], folder)
    else:
        for line in _lines(block):
            words = shlex.split(line, comments=True)
            if words[0] == "tfunlearn":
                done = commands.run(*_shortened(words[1:], less), cwd=folder)
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            else:
                python = shlex.quote(sys.executable)
                _run(["sh", "-c", re.sub(r"^python3? ", lambda _: f"{python} ", line)], folder)


@pytest.mark.parametrize(
    "page", [*PAGES, *EXAMPLES], ids=lambda page: f"{page.parent.name}-{page.stem}"
)
def test_commands_run(page, tmp_path, commands):
    folder = tmp_path / "folder"
    if page in EXAMPLES:
        shutil.copytree(page.parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        folder.mkdir()
    prepare = PREPARED.get(page.name)
    if prepare is not None:
        prepare(folder)
    less = QUICK if page.parent.name == "authors" else LESS
    blocks = BLOCK.findall(page.read_text())
    for kind, block in blocks:
        _run_block(kind, block, folder, commands, less)
    if blocks:
        assert list(folder.rglob("report.html"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_are_short_and_their_links_exist(page):
    text = page.read_text()
    if page.stem != "README":
        assert len(text.splitlines()) <= LINES
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert link.startswith("https:") or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.parent.name)
def test_examples_have_few_commands(page):
    lines = [line for kind, block in BLOCK.findall(page.read_text()) for line in _lines(block)]
    assert 0 < len(lines) <= MOST_COMMANDS
