"""Callbacks as classes whose methods are no-ops, and the functions of earlier builds."""

from __future__ import annotations

import inspect

import pytest

from tfunlearn.experiment import run_config, train
from tfunlearn.methods.callbacks import UnlearningCallbacks
from tfunlearn.sweeps.callbacks import FunctionCallbacks as SweepFunctions
from tfunlearn.sweeps.callbacks import SweepCallbacks
from tfunlearn.training.callbacks import FunctionCallbacks, TrainingCallbacks


class Log(TrainingCallbacks):
    def __init__(self):
        self.calls = []

    def on_start(self, directory, federation, model, finished):
        self.calls.append(("start", directory.path.name, len(federation.clients), finished))

    def on_round_end(self, line):
        self.calls.append(("round", line["round"]))


def test_a_training_calls_its_callbacks(tmp_path):
    log, lines = Log(), []
    config = run_config(clients=4, rounds=2, train_examples=160)
    train(config, out=tmp_path / "run", watch=log, on_round=lines.append)
    # the function is called in place of the method, as documented
    assert log.calls == [("start", "run", 4, 0)] and [line["round"] for line in lines] == [1, 2]


@pytest.mark.parametrize("kind", [TrainingCallbacks, UnlearningCallbacks, SweepCallbacks])
def test_every_method_does_nothing(kind):
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        values = [object()] * (len(inspect.signature(method).parameters) - 1)
        assert getattr(kind(), name)(*values) is (values[0] if name == "track" else None)


def test_functions_replace_only_what_they_are_given_for():
    log, rounds = Log(), []
    both = FunctionCallbacks(log, round=rounds.append)
    both.on_round_end({"round": 7})
    both.on_damage("torn")
    assert rounds == [{"round": 7}] and log.calls == []
    FunctionCallbacks(log).on_round_end({"round": 8})
    assert log.calls == [("round", 8)]
    cells = []
    SweepFunctions(cell=cells.append).on_cell_end("result")
    SweepFunctions().on_round_end("cell", {})
    assert cells == ["result"]
