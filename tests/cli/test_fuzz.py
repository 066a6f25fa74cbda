"""Files mutated at random: whatever comes of it, one line and no traceback."""

from __future__ import annotations

import io
import json
import pathlib
import shutil
import sys
import zipfile

import numpy as np
import pytest

from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import unlearn, unlearn_settings

CONFIG = """rounds = 2
clients = 4
train_examples = 100
attack = ["label-flip", "boost"]
malicious = 0.25
rule = "trimmed-mean"
byzantine = 1
defense = "flap"
partition = "dirichlet"
alpha = 0.5
lr = 1e-3
history = "every=2"
seed = 3
"""
WORDS = [
    b"nan",
    b"-1",
    b"1e999",
    b'""',
    b"[]",
    b"{}",
    b"true",
    b"null",
    b"\x00",
    b"\xff\xfe",
    b"'",
    b"0x10",
    b"1979-05-27",
    b"9" * 400,
    "\u202e\u00e9".encode(),
    b"[[x]]",
    b"= =",
    b"none",
]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Returns the content with one to three pieces cut out, flipped, doubled or exchanged."""
    for _ in range(rng.integers(1, 4)):
        first = int(rng.integers(0, len(content) + 1))
        last = min(len(content), first + int(rng.integers(1, 20)))
        piece = content[first:last]
        kind = rng.integers(0, 6)
        if kind == 0:
            piece = b""
        elif kind == 1:
            piece = bytes(int(b) ^ (1 << int(rng.integers(0, 8))) for b in piece)
        elif kind == 2:
            piece = piece * int(rng.integers(2, 5))
        elif kind == 3:
            piece = WORDS[rng.integers(0, len(WORDS))]
        elif kind == 4:
            content, piece = content[:last], piece  # torn
        else:
            piece = rng.bytes(len(piece))
        content = content[:first] + piece + content[last:]
    return content


def changed_value(content: bytes, rng: np.random.Generator) -> bytes:
    """Returns JSON with one value, however deep, exchanged for one of another kind."""
    table = json.loads(content)
    place = table
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return json.dumps(table).encode()
        key = keys[rng.integers(0, len(keys))]
        if not isinstance(place[key], (dict, list)) or rng.random() < 0.3:
            break
        place = place[key]
    others = [
        None,
        True,
        -1,
        10**30,
        0.5,
        float("nan"),
        "",
        "x" * 300,
        "\x00",
        [],
        {},
        [[1]],
        {"a": {"b": 1}},
        "../../etc",
    ]
    if isinstance(place, dict) and rng.random() < 0.2:
        del place[key]
    else:
        place[key] = others[rng.integers(0, len(others))]
    return json.dumps(table).encode()


def check(called, allowed=(0, 2)):
    code, _, err = called
    assert "Traceback" not in err and "internal error" not in err, err[-2000:]
    assert code in allowed, (code, err[-500:])
    complaint = [line for line in err.splitlines() if "warning" not in line]
    assert len(complaint) == (code != 0), err[-500:]


@pytest.fixture
def here(monkeypatch, tmp_path, typed):
    """`typed`, in an empty folder; no training is begun."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tfunlearn_cli.train.train_run", lambda *_, **__: exit(0))
    return typed


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_config_files(here, tmp_path, suffix):
    rng, content = np.random.default_rng(1), CONFIG.encode()
    if suffix == ".json":
        import tomllib

        content = json.dumps(tomllib.loads(CONFIG), indent=1).encode()
    for number in range(100):
        changed = (
            changed_value(content, rng)
            if suffix == ".json" and number % 2
            else mutated(content, rng)
        )
        (tmp_path / f"c{suffix}").write_bytes(changed)
        check(here("train", "--config", f"c{suffix}"))
    assert [path.name for path in tmp_path.iterdir()] == [f"c{suffix}"]


def test_grids(typed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tfunlearn_cli.sweep.run_sweep", lambda *_, **__: [])
    rng, content = (
        np.random.default_rng(2),
        (
            b'title = "t"\nseeds = [0, 1]\nmeasures = ["test_accuracy"]\n[fixed]\nrounds = 1\n'
            b'recovery_rounds = 2\n[[rows]]\nlabel = "a"\nrule = "median"\n[[columns]]\nlabel = "b"\n'
            b'method = "not"\n'
        ),
    )
    for _ in range(60):
        (tmp_path / "grid.toml").write_bytes(mutated(content, rng))
        check(typed("sweep", "grid.toml", "--out", "x"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A trained run and an unlearned one."""
    folder = tmp_path_factory.mktemp("runs")
    train(
        run_config(
            train_examples=60, clients=3, rounds=2, model="mlp", attack="label-flip", malicious=1
        ),
        out=folder / "run",
    )
    unlearn(folder / "run", unlearn_settings(method="not", reference=False, recovery_rounds=1))
    return folder


def test_run_directories(runs, monkeypatch, tmp_path, typed):
    """One file of a run is changed; then it is evaluated, resumed, unlearned or reported."""
    rng = np.random.default_rng(3)
    for module, name in (
        ("workflows.unlearn.workflow", "perform"),
        ("training.train", "rounds_of"),
    ):
        monkeypatch.setattr(sys.modules[f"tfunlearn.{module}"], name, lambda *_, **__: exit(0))
    names = [
        "config.json",
        "metrics.jsonl",
        "partition.npz",
        "checkpoint.npz",
        "previous.npz",
        "unlearning.json",
        "request.json",
        "history/round_00002.npz",
    ]
    for number in range(110):
        shutil.copytree(runs, tmp_path / "copy")
        monkeypatch.chdir(tmp_path / "copy")
        run = ("run", "run-not")[number % 2]
        name = names[rng.integers(0, len(names))]
        path = pathlib.Path(run, name)
        if path.exists():
            json_file = name.endswith(".json") and rng.random() < 0.6
            path.write_bytes((changed_value if json_file else mutated)(path.read_bytes(), rng))
        command = (
            ["evaluate", run],
            ["resume", run],
            ["report", run],
            ["unlearn", run, "--method", "finetune", "--client", "1", "--no-reference"],
        )[rng.integers(0, 4)]
        check(typed(*command))
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(tmp_path / "copy")


def rezipped(content: bytes, rng: np.random.Generator) -> bytes:
    """Returns a `.keras` file one of whose members was changed before it was packed anew, so that
    its checksum fits."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        names = old.namelist()
        chosen = names[rng.integers(0, len(names))]
        for name in names:
            part = old.read(name)
            if name == chosen:
                json_file = name.endswith(".json") and rng.random() < 0.7
                part = (changed_value if json_file else mutated)(part, rng)
            new.writestr(name, part)
    return made.getvalue()


def test_keras_files(runs, monkeypatch, tmp_path, typed):
    monkeypatch.chdir(tmp_path)
    rng, content = np.random.default_rng(4), (runs / "run" / "model.keras").read_bytes()
    for number in range(120):
        (tmp_path / "m.keras").write_bytes((mutated if number % 3 == 0 else rezipped)(content, rng))
        check(typed("prune", "m.keras", "-o", "out.keras"))
        (tmp_path / "out.keras").unlink(missing_ok=True)
