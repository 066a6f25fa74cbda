"""The layers of the package and what importing it costs."""

from __future__ import annotations

import ast
import configparser
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOORS = {  # arrows go down only, and rooms on one floor do not know each other
    "tfunlearn_cli": 9,
    "experiment": 8,
    "sweeps": 7,
    "conformance": 7,
    "workflows": 6,
    "methods": 5,
    "training": 4,
    "runs": 3,
    "config": 2,
    "federated": 1.8,
    "engines": 1.5,
    "local_training": 1.3,
    "defenses": 1.5,
    "evaluation": 1.5,
    "report": 1.5,
    "unlearning": 1.5,
    "verification": 1.5,
    "aggregation": 1,
    "attacks": 1,
    "pruning": 1,
    "datasets": 1,
    "models": 1,
    "core": 0,
}


def family(module: str) -> str:
    """Returns `tfunlearn_cli`, the family inside `tfunlearn`, or nothing of ours."""
    top, *rest = module.split(".")
    return top if top == "tfunlearn_cli" else rest[0] if top == "tfunlearn" and rest else ""


def imports():
    for folder, package in ((ROOT / "tfunlearn", "tfunlearn"), (ROOT / "cli", "tfunlearn_cli")):
        for file in folder.rglob("*.py"):
            name = ".".join([package, *file.relative_to(folder).with_suffix("").parts])
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom):
                    assert node.level == 0, f"{name} imports relatively"
                    yield from ((name, f"{node.module}.{alias.name}") for alias in node.names)
                elif isinstance(node, ast.Import):
                    yield from ((name, alias.name) for alias in node.names)


def test_arrows_go_down_and_families_of_a_floor_stay_apart():
    wrong = []
    for importer, imported in imports():
        above, below = family(importer), family(imported)
        if below in FLOORS and above != below and FLOORS[above] <= FLOORS[below]:
            wrong.append(f"{importer} -> {imported}")
    assert not wrong


def test_every_folder_is_in_the_package_list():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    folders = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in (ROOT / "tfunlearn").rglob("__init__.py")
    }
    assert listed == folders | {
        "tfunlearn_cli",
        "tfunlearn_presets",
        "tfunlearn_published",
        "tfunlearn_sweeps",
    }


@pytest.mark.parametrize(
    "code",
    [
        "import tfunlearn",
        "import sys, tfunlearn_cli.main as m; sys.argv[1:] = ['--help']; m._exit_code()",
        "import sys, tfunlearn_cli.main as m; sys.argv[1:] = ['train', '--help']; m._exit_code()",
        "import sys, tfunlearn_cli.main as m; sys.argv[1:] = ['unlearn', '--help']; m._exit_code()",
        "import tfunlearn.unlearning",
    ],
)
def test_imports_no_tensorflow(code):
    heavy = {
        "tensorflow",
        "tensorflow_federated",
        "keras",
        "matplotlib",
        "sklearn",
        "scipy",
        "pandas",
    }
    check = f"; import sys; assert not {heavy} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_top_level_of_the_repository():
    fixed = {"setup.cfg", "pyproject.toml", "README.md", "tfunlearn", "cli", "tests", "data"}
    assert fixed <= {path.name for path in ROOT.iterdir()}


def test_ci_runs_the_commands_of_the_readme():
    commands = [
        line
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("python3 -m venv")
    ]
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert len(commands) == 2 and all(command in ci for command in commands)


def test_no_file_tests_the_name_of_a_method_that_another_file_declares(monkeypatch):
    """Words that only look like names: a compatibility mode, a key of figures, a policy."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    import rooms

    words = {"flap": "compat", "mean": "proof.py", "exclude": "locating.py"}
    for place in rooms.branches():
        file, line, name = place.split(":")
        text = (ROOT / file).read_text().splitlines()[int(line) - 1]
        assert name.strip() in words, place
        assert words[name.strip()] in text + file, place


def test_no_room_is_too_large(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    import rooms

    sizes = rooms.rooms()
    total = sum(lines for lines, _ in sizes.values())
    assert max(lines for lines, _ in sizes.values()) < 0.18 * total
