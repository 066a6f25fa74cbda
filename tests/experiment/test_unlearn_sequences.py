"""Sequences of requests of different kinds, interfered runs, and sharing of retrained models."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from unlearn_cases import SMALL, quick

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import read_arrays
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import Watch, unlearn
from tfunlearn.methods.source import open_source
from tfunlearn.workflows.evaluate.evaluate import evaluate
from tfunlearn.workflows.unlearn.folders import keys_of
from tfunlearn.workflows.unlearn.workflow import task_of


def test_rounds_from_before_the_last_unlearning_do_not_count(copied):
    first = unlearn(copied, quick("fedrecovery", forget=["client:1"]))
    for method in ("fedup", "pga"):
        settings = quick(
            method, forget=["client:2"], **({"rate_limit": 0} if method == "fedup" else {})
        )
        with pytest.raises(UserError, match=r"later than the last unlearning \(round 4\)"):
            unlearn(first.directory.path, settings)
    plans = []
    waited = unlearn(
        first.directory.path,
        quick(forget=["client:2"], rate_limit=2),
        watch=Watch(plan=plans.append),
    )
    assert waited.notes["report"]["history_round"] == 6 and len(plans) == 1
    assert [line["phase"] for line in waited.metrics] == ["wait", "wait", "recover"]


def test_every_flagged_client_is_heard_while_waiting(tmp_path):
    config = run_config(
        **{
            **SMALL,
            "clients": 8,
            "participation": 3,
            "rule": "krum",
            "byzantine": 0,
            "malicious": 1,
        }
    )
    train(config, out=tmp_path / "run")
    sizes = [set(line["participants"]) for line in train(config, out=tmp_path / "b").metrics]
    first = unlearn(tmp_path / "run", quick("finetune", forget=["class:3"]))
    flagged = min(set(range(8)) - sizes[-1])
    got = unlearn(first.directory.path, quick(forget=[f"client:{flagged}"], rate_limit=3))
    for line in got.metrics[:2]:
        assert line["phase"] == "wait" and line["rejected"] == [flagged]
        assert len(line["participants"]) == 4 and flagged in line["participants"]


def test_a_retraining_is_shared_but_a_request_is_answered_for_itself(copied):
    both = unlearn(copied, quick("retrain", forget=["client:0", "client:1"]))
    first = unlearn(copied, quick("finetune", forget=["client:0"]))
    own = unlearn(first.directory.path, quick("retrain", forget=["client:1"]))
    assert own.new and own.notes["requests"] == [["client:0"], ["client:1"]]
    assert own.notes["forgotten"]["examples"] == 40
    for a, b in zip(own.directory.read_state().weights, both.directory.read_state().weights):
        np.testing.assert_array_equal(a, b)
    shared = unlearn(first.directory.path, quick("finetune", forget=["client:1"], reference=True))
    assert shared.notes["reference"] in (str(both.directory.path), str(own.directory.path))
    assert shared.notes["measured"]["retrained"] == own.notes["measured"]["after"]


def test_keys_tell_apart_what_is_different(copied, monkeypatch):
    source = open_source(copied)
    asked = [
        keys_of(task_of(source, quick(method, forget=words, **more)))
        for method in ("fedup", "retrain")
        for words in (["client:0"], ["client:1"])
        for more in ({}, {"unlearn_seed": 7})
    ]
    assert len({keys["key"] for keys in asked}) == len({k["weights_key"] for k in asked}) == 8
    task = task_of(source, quick("retrain", forget=["client:0"]))
    before = keys_of(task)
    source.federation.poisoned.features[0, 0, 0, 0] ^= 1  # other data under the same name
    assert keys_of(task)["weights_key"] != before["weights_key"]


def test_a_hidden_or_half_written_folder_is_not_taken_for_a_run(copied, monkeypatch):
    done = unlearn(copied, quick("not"))
    hidden = copied.parent / ".run-not.1"  # process 1 is alive
    shutil.move(done.directory.path, hidden)
    again = unlearn(copied, quick("not"))
    assert again.new and again.directory.path == done.directory.path and hidden.exists()
    from tfunlearn.workflows.unlearn import execution as performance

    def full(*_):
        raise OSError(28, "No space left on device", "curves.png")

    monkeypatch.setattr(performance, "save_recovery", full)
    with pytest.raises(OSError):
        unlearn(copied, quick("finetune"))
    assert not copied.with_name("run-finetune").exists()


def test_a_training_killed_between_checkpoint_and_metrics_line(copied):
    lines = (copied / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (copied / "metrics.jsonl").write_bytes(b"".join(lines[:-1]))
    source = open_source(copied)
    assert source.rounds == source.training_rounds == 4 and source.history.rounds == [1, 2, 3]
    with pytest.raises(UserError, match="every round, 1 to 4"):
        unlearn(copied, quick("fedrecovery"))
    assert unlearn(copied, quick()).notes["report"]["history_round"] == 3


def test_only_what_is_still_there_is_ascended_on(copied):
    words = [f"example:1:{n}" for n in range(39)]
    first = unlearn(copied, quick("finetune", forget=words))
    got = unlearn(
        first.directory.path, quick("pga", forget=["client:1"], ascent_epochs=3, ascent_stop=0.0)
    )
    assert got.notes["forgotten"]["examples"] == 1
    assert got.notes["report"]["ascents"][0]["steps"] == 3  # a batch of one, three epochs


def test_federaser_refuses_updates_that_hold_what_was_forgotten(copied):
    first = unlearn(copied, quick("finetune", forget=["class:3"]))
    with pytest.raises(UserError, match="forget: .*federaser.*take retrain; got 'client:1'"):
        unlearn(first.directory.path, quick("federaser", forget=["client:1"]))


def test_attackers_that_stay_are_named_in_a_rebuilding(tmp_path):
    config = run_config(
        **{**SMALL, "attack": "sign-flip", "malicious": 3, "clients": 7, "train_examples": 280}
    )
    made = train(config, out=tmp_path / "run")
    gone, *stay = made.federation.malicious.tolist()
    got = unlearn(tmp_path / "run", quick("federaser", forget=[f"client:{gone}"]))
    assert got.metrics[0]["crafted"] == []
    for line in got.metrics[1:]:
        assert line["crafted"] == line["attackers"] == stay


def test_a_checkpoint_without_metrics_is_checked_too(copied):
    got = unlearn(copied, quick("fedrecovery"))
    assert evaluate(got.directory.path).rounds == 0
    arrays = read_arrays(got.directory.checkpoint)
    arrays["weight_0000"] *= 0
    np.savez(got.directory.checkpoint, **arrays)
    for read in (evaluate, open_source):
        with pytest.raises(UserError, match="is not the file that unlearning.json names"):
            read(got.directory.path)


def test_a_model_of_ones_own_that_was_replaced(tmp_path):
    layers = tf.keras.layers
    for name in ("first", "second"):
        tf.keras.Sequential(
            [
                layers.Input((28, 28, 1)),
                layers.Flatten(),
                layers.Dense(8, activation="relu"),
                layers.Dense(10),
            ]
        ).save(tmp_path / f"{name}.keras")
    shutil.copy(tmp_path / "first.keras", tmp_path / "model.keras")
    made = train(
        run_config(**{**SMALL, "model": str(tmp_path / "model.keras")}), out=tmp_path / "run"
    )
    assert json.loads(made.directory.config.read_text())["model_sha256"]
    pga = unlearn(tmp_path / "run", quick("pga"))
    weights = [w for w in tf.keras.models.load_model(tmp_path / "first.keras").get_weights()]
    spread = sum(2 * w.shape[0] * w.shape[1] * 2 / sum(w.shape) for w in weights if w.ndim == 2)
    assert pga.notes["report"]["radius"] == pytest.approx((spread / 3) ** 0.5, rel=0.4)
    same = unlearn(tmp_path / "run", quick("retrain"))
    first = read_arrays(same.directory.history / "round_00001.npz")["weights"]
    np.testing.assert_array_equal(first, np.concatenate([w.ravel() for w in weights]))
    shutil.copy(tmp_path / "second.keras", tmp_path / "model.keras")
    for method in ("retrain", "rapid-retrain"):
        with pytest.raises(UserError, match="no longer the file that the run began with"):
            unlearn(tmp_path / "run", quick(method), out=tmp_path / "other")
    assert unlearn(tmp_path / "run", quick("finetune")).notes["rounds"] == 1


@pytest.mark.parametrize(
    "trained, values, expected",
    [
        (("adam", 3e-3), dict(), ("adam", 1e-3)),
        (("sgd", 0.3), dict(), ("adam", 1e-3)),
        (("sgd", 0.3), dict(recovery_optimizer="adam"), ("adam", 1e-3)),
        (("adam", 3e-3), dict(recovery_lr=0.01), ("adam", 0.01)),
        (("sgd", 0.3), dict(recovery_optimizer="sgd"), ("sgd", 0.3)),
        (("sgd", 0.3), dict(method="finetune"), ("sgd", 0.3)),
        (("sgd", 0.3), dict(method="finetune", recovery_optimizer="fisher"), ("fisher", 1e-3)),
        (("adam", 3e-3), dict(method="finetune", recovery_optimizer="adam"), ("adam", 3e-3)),
        (("adam", 3e-3), dict(recovery_optimizer="sgd"), "recovery_lr: .*got None"),
        (("adam", 3e-3), dict(recovery_optimizer="sgd", recovery_lr=0.1), ("sgd", 0.1)),
    ],
)
def test_the_optimizer_of_recovery(copied, trained, values, expected):
    config = json.loads((copied / "config.json").read_text())
    config |= {"optimizer": trained[0], "lr": trained[1]}
    (copied / "config.json").write_text(json.dumps(config))
    task = task_of(open_source(copied), quick(**values))
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            task.training
    else:
        assert (task.training.optimizer, task.training.lr) == expected
