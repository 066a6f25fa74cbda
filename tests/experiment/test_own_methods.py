"""User-defined methods: example package, files, objects; train, resume, unlearn, sweep."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tfunlearn.conformance.check import check_named
from tfunlearn.conformance.families import FAMILIES, list_installed
from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import resume_unlearning, unlearn, unlearn_settings
from tfunlearn.methods.method import UNLEARNING
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.sweeps.grid_reading import grid_of
from tfunlearn.sweeps.sweep import read_sweep, sweep
from tfunlearn.training.resume import resume_training
from tfunlearn.workflows.evaluate.evaluate import evaluate
from tfunlearn.workflows.unlearn.callbacks import Watch

PLUGIN = pathlib.Path(__file__).resolve().parents[2] / "examples" / "plugin"
SMALL = dict(train_examples=120, clients=4, rounds=2, malicious=1, model="mlp")
FILE = '''
import numpy as np

def halves(updates, *, f, factor: float = 0.5):
    """the mean times a factor"""
    return (updates.mean(axis=0) * factor).astype(np.float32)

def backwards(view, *, strength: float = 1.0):
    """the update backwards"""
    return (-strength * view.own).astype(np.float32)

def dimmed(images, labels, *, source, target, amount: int = 10):
    """darker images of the source class"""
    images = images.copy()
    images[labels == source] = np.maximum(images[labels == source], amount) - amount
    return images, labels

def calmed(weights, *, round_number, decay: float = 0.9):
    """weights shrink after each round"""
    return [weight * decay for weight in weights]

def zeroed(task, *, share: float = 0.5):
    """a share of the last bias is zeroed"""
    weights = [weight.copy() for weight in task.source.state.weights]
    weights[-1][: int(share * len(weights[-1]))] = 0
    return weights

def tiny(input_shape, classes, *, seed, width: int = 4):
    """a net of one hidden layer"""
    import tensorflow as tf
    initial = tf.keras.initializers.HeNormal(seed)
    return tf.keras.Sequential([
        tf.keras.layers.Input(input_shape), tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(width, "relu", kernel_initializer=initial),
        tf.keras.layers.Dense(classes, kernel_initializer=tf.keras.initializers.HeNormal(seed + 1))])

def few(data_dir, *, count: int = 200):
    """some of the digits"""
    import dataclasses
    from tfunlearn.datasets import digits
    data = digits()
    return dataclasses.replace(data, features=data.features[:count], labels=data.labels[:count],
                               rows=None)
'''


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)
    return tmp_path / "mine.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder in which the example package is installed."""
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site")
    shutil.copytree(PLUGIN, source)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--target",
            target,
            source,
        ],
        check=True,
    )
    return target


@pytest.fixture
def plugin(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    yield site
    for family in FAMILIES.values():  # as in a process without the package
        family._loaded.clear()
    for name in [name for name in sys.modules if name.startswith("tfunlearn_example")]:
        del sys.modules[name]


def test_the_example_package_trains_and_unlearns(plugin, tmp_path, monkeypatch):
    found = {
        one.name: one
        for family in ("rule", "attack", "unlearning")
        for one in list_installed(family)
        if one.source.startswith("tfunlearn-example")
    }
    assert set(found) == {"clipped-mean", "random-labels", "shrink"}
    run = train(
        run_config(
            **SMALL,
            rule="clipped-mean",
            largest=0.5,
            attack="random-labels",
            share=0.9,
            history="all",
        ),
        out=tmp_path / "run",
    )
    stored = json.loads(run.directory.config.read_text())
    assert (stored["largest"], stored["share"], stored["rule"]) == (0.5, 0.9, "clipped-mean")
    assert {origin["package"] for origin in stored["origins"]} == {"tfunlearn-example 0.1.0"}
    got = unlearn(
        run.directory.path,
        unlearn_settings(method="shrink", factor=0.2, stop="rounds", recovery_rounds=1),
    )
    assert got.notes["settings"]["factor"] == 0.2 and got.directory.path.name == "run-shrink"
    assert got.notes["method_origin"]["sha256"] == checksum(
        plugin / "tfunlearn_example" / "shrink.py"
    )
    assert UNLEARNING.find("shrink").describe(got.notes["report"])[0].startswith("shrunk ")
    with pytest.raises(UserError, match="largest: .*got -1.0"):
        run_config(rule="clipped-mean", largest=-1.0)
    with pytest.raises(UserError, match="largest: .* unknown field|unknown field 'largest'"):
        run_config(rule="krum", largest=1.0)
    # without the package, the error names it
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(plugin)])
    for family in FAMILIES.values():
        family._loaded.clear()
    with pytest.raises(UserError, match="came from the package tfunlearn-example 0.1.0, which is"):
        evaluate(run.directory.path)


@pytest.mark.parametrize("name", ["clipped-mean", "random-labels"])
def test_the_example_fulfils_the_contracts(plugin, name):
    family, findings = check_named(name)
    assert [finding for finding in findings if finding.passed is False] == []
    assert sum(bool(finding.passed) for finding in findings) >= 5


def test_functions_of_a_file_everywhere(file, tmp_path):
    """Rule, attacks, defense, model and data set of one file, with settings; resumed."""
    config = run_config(
        **{**SMALL, "model": "mine.py:tiny", "dataset": "mine.py:few", "train_examples": None},
        width=3,
        count=150,
        rule="mine.py:halves",
        factor=0.25,
        defense=["mine.py:calmed", "flap"],
        decay=0.5,
        attack="mine.py:backwards",
        strength=2.0,
        history="last",
    )
    assert config.gathers and config.needs_gathering == "backwards"

    class Stop(Exception):
        pass

    def stop(line):
        raise Stop

    with pytest.raises(Stop):
        train(config, out="half", on_round=stop)
    whole = train(config, out="whole")
    again = resume_training("half")
    for a, b in zip(whole.directory.read_state().weights, again.directory.read_state().weights):
        np.testing.assert_array_equal(a, b)
    assert [line["crafted"] for line in whole.metrics] == [whole.federation.malicious.tolist()] * 2
    assert whole.model.count_params() == 784 * 3 + 3 + 3 * 10 + 10
    got = unlearn("whole", unlearn_settings(method="mine.py:zeroed", share=1.0, recovery_rounds=0))
    assert got.directory.path.name == "whole-zeroed"
    assert not got.directory.read_state().weights[-1].any()
    assert [path.read_text() for path in pathlib.Path("whole-zeroed", "methods").iterdir()] == [
        FILE
    ]
    file.write_text(FILE + "\n# changed\n")
    for path in ("half", "whole-zeroed"):
        copy = next(pathlib.Path(path, "methods").iterdir())
        with pytest.raises(
            UserError, match=f"mine.py, where .* has changed since the run.*a copy is {copy}"
        ):
            evaluate(path)


def test_an_attack_on_data_and_python_objects(file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine

    config = run_config(**SMALL, attack=mine.dimmed, amount=200, rule=mine.halves)
    assert (config.attack.attack, config.aggregation.rule) == (("mine:dimmed",), "mine:halves")
    run = train(config, out="run")
    changed = run.federation.poisoned.features != run.federation.clients.features
    assert 0 < run.federation.poisoned_examples < 60 and changed.any()
    settings = unlearn_settings(method=mine.zeroed, forget=["class:1"], reference=False)
    assert settings.method == "mine:zeroed" and settings.own.share == 0.5
    del sys.modules["mine"]


def test_a_sweep_takes_them_with_their_settings(file, monkeypatch):
    grid = grid_of(
        {
            "fixed": {
                **SMALL,
                "factor": 0.5,
                "share": 0.2,
                "recovery_rounds": 1,
                "reference": False,
                "attack": "label-flip",
            },
            "rows": [{"label": "halves", "rule": "mine.py:halves"}],
            "columns": [{"label": "zeroed", "method": "mine.py:zeroed"}],
        },
        "mine",
    )
    (cell,) = grid.cells()
    assert cell.config.aggregator.own.factor == 0.5 and cell.unlearning.own.share == 0.2
    assert cell.config.aggregation.rule == f"{file}:halves"
    with pytest.raises(UserError, match="^rows: .*tables.*got 3"):
        grid_of({"rows": 3, "columns": [{"label": "a"}]}, "mine")
    with pytest.raises(UserError, match="unknown field 'factr'; did you mean 'factor'"):
        grid_of(
            {"fixed": {"rule": "mine.py:halves", "factr": 1}, "grid": {"attack": ["none"]}}, "mine"
        )
    assert sweep(grid, "swept")[0].rows == ["halves"]

    def first(updates):
        return updates[0]

    (cell,) = grid_of({"grid": {"rule": [first]}}, "mine").cells()
    assert cell.config.aggregator.method.name == "first"
    (file.parent / "elsewhere").mkdir()
    monkeypatch.chdir(file.parent / "elsewhere")
    seen = []
    sweep(*read_sweep("../swept")[:1], "../swept", on_cell=seen.append)
    assert [result.new for result in seen] == [False]  # the same cells, found by absolute path


@pytest.mark.parametrize(
    "name, family, failing",
    [
        ("mine.py:halves", "rule", {"finite under attack"}),
        ("mine.py:backwards", "attack", set()),
        ("mine.py:dimmed", "attack", set()),
        ("mine.py:calmed", "defense", set()),
        ("mine.py:tiny", "model", set()),
        ("mine.py:few", "dataset", set()),
        ("mine.py:zeroed", "unlearning", set()),
    ],
)
def test_contracts_of_plain_functions(file, name, family, failing):
    found, findings = check_named(name, family=family)
    assert found == family
    assert {finding.name for finding in findings if finding.passed is False} <= failing


def test_what_a_contract_finds(file):
    file.write_text("""
import numpy as np
def greedy(weights): weights[0][:] = np.nan; return weights
def random(view): return np.random.normal(size=view.own.shape)
def short(updates, *, f): return updates[0][:3]
def none(task): return None
""")
    for name, family, failing in (
        ("greedy", "defense", {"finite"}),
        ("random", "attack", {"deterministic"}),
        ("short", "rule", {"shape and type"}),
        ("none", "unlearning", {"ends"}),
    ):
        _, findings = check_named(f"mine.py:{name}", family=family)
        assert failing <= {one.name for one in findings if one.passed is False}, name
    with pytest.raises(UserError, match="family: mine.py:short is a plain function"):
        check_named("mine.py:short")


def test_a_loaded_run_directory_names_a_damaged_origin(file, tmp_path):
    run = train(run_config(**SMALL, rule="mine.py:halves"), out="run")
    stored = json.loads(run.directory.config.read_text())
    assert stored["rule"] == f"{file}:halves" and stored["origins"][0]["file"] == str(file)
    file.write_text(FILE + "# a note")
    with pytest.warns(UserWarning, match=f"rule: {file} has changed since the run"):
        evaluate(run.directory.path)  # which does not use the rule
    with pytest.raises(UserError, match="has changed since the run began"):
        resume_training(run.directory.path)
    file.unlink()
    with pytest.raises(UserError, match=f"came from {file}, which is missing"):
        evaluate(run.directory.path)
    assert RunDirectory(pathlib.Path("run")).checkpoint.exists()
    for damage in (
        3,
        [3],
        [{"field": "rule"}],
        [{**stored["origins"][0], "sha256": 1}],
        [],
        [{**stored["origins"][0], "field": ["rule"]}],
        [{**stored["origins"][0], "sha256": None}],
        [{"field": "rule", "name": stored["rule"]}],
    ):
        run.directory.config.write_text(json.dumps({**stored, "origins": damage}))
        with pytest.raises(UserError, match="^run: .*config.json is damaged .origins."):
            evaluate(run.directory.path)


def test_a_setting_of_none_survives_resuming_an_unlearning(file, tmp_path):
    """None is a value of its own, where the default is another."""
    file.write_text(
        FILE
        + """
def kept(task, *, share: float | None = 0.5, label: float | str = 1.0):
    weights = [weight.copy() for weight in task.source.state.weights]
    if share is not None:
        weights[-1][:] = 0
    return weights
"""
    )
    train(run_config(**SMALL, attack="label-flip", history="last"), out="run")
    settings = unlearn_settings(
        method="mine.py:kept", share=None, label="low", recovery_rounds=2, reference=False
    )

    class Stop(Exception):
        pass

    def stop(line):
        raise Stop

    with pytest.raises(Stop):
        unlearn("run", settings, watch=Watch(round=stop))
    got = resume_unlearning("run-kept")
    assert got.record.settings["share"] is None and got.record.settings["label"] == "low"
    assert got.directory.read_state().weights[-1].any()
    assert UNLEARNING.fields("mine.py:kept")["label"].kinds == (float, str)
