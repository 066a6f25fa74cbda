"""The layers of the package and what importing it costs."""

from __future__ import annotations

import ast
import configparser
import pathlib
import shutil
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
    "detection": 1.7,
    "engines": 1.5,
    "local_training": 1.3,
    "defenses": 1.5,
    "evaluation": 1.5,
    "report": 1.75,
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


@pytest.mark.parametrize(
    "words, also_light",
    [
        ("methods", ("matplotlib", "sklearn", "scipy")),
        ("models", ("matplotlib", "sklearn", "scipy")),
        ("data", ("matplotlib", "sklearn", "scipy")),
        ("data --show --png partition.png", ()),  # digits is part of scikit-learn
        ("check label-flip", ("matplotlib", "sklearn", "scipy")),
        ("resume swept", ("sklearn", "scipy")),  # all its cells are finished
        ("report --help", ("matplotlib", "sklearn", "scipy")),
        ("verify --help", ("matplotlib", "sklearn", "scipy")),
        ("sweep --help", ("matplotlib", "sklearn", "scipy")),
        ("channels --help", ("matplotlib", "sklearn", "scipy")),
    ],
)
def test_a_command_that_only_reads_and_draws_imports_no_tensorflow(tmp_path, words, also_light):
    """tests/report/test_page.py has the commands that read a verified run."""
    shutil.copytree(ROOT / "tests" / "earlier_runs", tmp_path, dirs_exist_ok=True)
    heavy = ("tensorflow", "tensorflow_federated", "keras", "tensorflow_datasets", "pandas")
    code = (
        f"import sys, tfunlearn_cli.main as m; sys.argv[1:] = {words.split()}; "
        "assert m._exit_code() == 0; "
        f"found = {set(heavy + also_light)} & set(sys.modules); assert not found, found"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "experiment",
        "experiment.gme",
        "experiment.run_directory",
        "experiment.unlearning",
        "experiment.verification",
        "report",
        "workflows.report",
    ],
)
def test_the_documented_modules_import_nothing_heavy(module):
    test_imports_no_tensorflow(f"import tfunlearn.{module}")


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
