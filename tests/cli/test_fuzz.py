"""Randomly mutated files: every error is one line without a traceback."""

from __future__ import annotations

import io
import json
import pathlib
import shutil
import sys
import tomllib
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


FUZZ = settings(  # the same examples in every run; a failing one is shrunk
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("../../etc"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutated(draw, content: bytes) -> bytes:
    """The content with one to three pieces deleted, truncated, duplicated or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(0, len(content)))
        last = min(len(content), first + draw(st.integers(1, 19)))
        piece = content[first:last]
        if draw(st.integers(0, 5)) == 0:
            content = content[:last]  # truncated
        piece = draw(
            st.just(b"")
            | st.just(piece * 3)
            | st.sampled_from(WORDS)
            | st.binary(min_size=len(piece), max_size=len(piece))
        )
        content = content[:first] + piece + content[last:]
    return content


@st.composite
def changed_value(draw, content: bytes) -> bytes:
    """JSON with one value, at any depth, removed or replaced."""
    table = json.loads(content)
    place = table
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return json.dumps(table).encode()
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or draw(st.integers(0, 2)) == 0:
            break
        place = place[key]
    if isinstance(place, dict) and draw(st.integers(0, 4)) == 0:
        del place[key]
    else:
        place[key] = draw(VALUES)
    return json.dumps(table).encode()


def check(called, allowed=(0, 2)):
    code, _, err = called
    assert "Traceback" not in err and "internal error" not in err, err[-2000:]
    assert code in allowed, (code, err[-500:])
    complaint = [line for line in err.splitlines() if "warning" not in line]
    assert len(complaint) == (code != 0), err[-500:]


@pytest.fixture
def here(monkeypatch, tmp_path, typed):
    """`typed`, in an empty folder; no training is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tfunlearn_cli.train.train_run", lambda *_, **__: exit(0))
    return typed


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_config_files(here, tmp_path, suffix):
    content, kinds = CONFIG.encode(), mutated
    if suffix == ".json":
        content = json.dumps(tomllib.loads(CONFIG), indent=1).encode()

        def kinds(content):
            return mutated(content) | changed_value(content)

    @settings(FUZZ, max_examples=100)
    @given(kinds(content))
    def ends_in_one_line(changed):
        (tmp_path / f"c{suffix}").write_bytes(changed)
        check(here("train", "--config", f"c{suffix}"))

    ends_in_one_line()
    assert [path.name for path in tmp_path.iterdir()] == [f"c{suffix}"]


def test_grids(typed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tfunlearn_cli.sweep.run_sweep", lambda *_, **__: [])
    content = (
        b'title = "t"\nseeds = [0, 1]\nmeasures = ["test_accuracy"]\n[fixed]\nrounds = 1\n'
        b'recovery_rounds = 2\n[[rows]]\nlabel = "a"\nrule = "median"\n[[columns]]\n'
        b'label = "b"\nmethod = "not"\n'
    )

    @settings(FUZZ, max_examples=60)
    @given(mutated(content))
    def ends_in_one_line(changed):
        (tmp_path / "grid.toml").write_bytes(changed)
        check(typed("sweep", "grid.toml", "--out", "x"))

    ends_in_one_line()


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
    """One file of a run is changed; then the run is evaluated, resumed, unlearned or reported."""
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
    commands = (
        ["evaluate"],
        ["resume"],
        ["report"],
        ["unlearn", "--method", "finetune", "--client", "1", "--no-reference"],
    )

    @settings(FUZZ, max_examples=20)
    @given(st.data(), st.sampled_from(["run", "run-not"]), st.sampled_from(names))
    def ends_in_one_line(data, run, name):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(runs, tmp_path / "copy")
        monkeypatch.chdir(tmp_path / "copy")
        path = pathlib.Path(run, name)
        if path.exists():
            content = path.read_bytes()
            kind = mutated(content)
            if name.endswith(".json"):
                kind |= changed_value(content)
            path.write_bytes(data.draw(kind))
        command, *flags = data.draw(st.sampled_from(commands))
        check(typed(command, run, *flags))
        monkeypatch.chdir(tmp_path)

    ends_in_one_line()


@st.composite
def rezipped(draw, content: bytes) -> bytes:
    """A `.keras` file with one changed member, repacked with valid checksums."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        chosen = draw(st.sampled_from(old.namelist()))
        for name in old.namelist():
            part = old.read(name)
            if name == chosen:
                kind = mutated(part)
                part = draw(kind | changed_value(part) if name.endswith(".json") else kind)
            new.writestr(name, part)
    return made.getvalue()


def test_keras_files(runs, monkeypatch, tmp_path, typed):
    monkeypatch.chdir(tmp_path)
    content = (runs / "run" / "model.keras").read_bytes()

    @settings(FUZZ, max_examples=70)
    @given(mutated(content) | rezipped(content) | rezipped(content))
    def ends_in_one_line(changed):
        (tmp_path / "m.keras").write_bytes(changed)
        check(typed("prune", "m.keras", "-o", "out.keras"))
        (tmp_path / "out.keras").unlink(missing_ok=True)

    ends_in_one_line()
