"""Unlearning of runs: every method end to end, and sequences of requests."""

from __future__ import annotations

import json
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from unlearn_cases import OWN_FIELDS, SMALL, contents, quick

from tfunlearn.config.legacy import UNLEARNING_FIELDS
from tfunlearn.core.errors import UserError
from tfunlearn.core.files import digest_of, read_arrays
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import Watch, unlearn
from tfunlearn.methods.method import UNLEARNING
from tfunlearn.methods.source import open_source
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.training.federation import Federation
from tfunlearn.unlearning import fedup, kernels_of
from tfunlearn.workflows.evaluate.evaluate import evaluate


@pytest.mark.parametrize("method", [method for method in OWN_FIELDS if method != "cdp"])
def test_every_method_makes_a_whole_run_and_leaves_the_old_one_alone(kept_run, copied, method):
    before = contents(copied)
    got = unlearn(copied, quick(method))
    assert contents(copied) == before
    assert got.directory.path == copied.with_name(f"run-{method}") and got.new
    names = {path.name for path in got.directory.path.iterdir()}
    assert {
        "config.json",
        "metrics.jsonl",
        "partition.npz",
        "clients.csv",
        "checkpoint.npz",
        "model.keras",
        "curves.png",
        "unlearning.json",
    } - names <= ({"metrics.jsonl"} if method in ("fedrecovery", "fedau") else set())
    assert [p.name for p in copied.parent.iterdir() if p.name.startswith(".")] == []
    assert (got.directory.path / "config.json").read_bytes() == (
        copied / "config.json"
    ).read_bytes()
    notes = json.loads(got.directory.unlearning.read_text())
    assert notes.pop("sha256") == digest_of(notes)
    malicious = kept_run.federation.malicious.tolist()
    assert notes == got.notes and notes["forgotten"] == {"clients": malicious, "examples": 80}
    assert notes["requests"] == [[f"client:{k}" for k in malicious]]
    assert notes["rounds"] == len(got.metrics) and notes["source"] == str(copied)
    for line in got.metrics:
        at_work = set(line["participants"]) & set(malicious)  # on wrong labels or another loss
        assert (
            bool(at_work)
            == (method == "ablation-channel" or (method == "fedosd" and line["round"] == 1))
            and line["phase"] == "recover"
        )
    for values in (notes["measured"][name] for name in ("before", "start", "after")):
        assert values.pop("forget_test_accuracy") is values.pop("remain_test_accuracy") is None
        assert all(math.isfinite(v) for v in values.values())
    model = tf.keras.models.load_model(got.directory.model)
    for a, b in zip(model.get_weights(), got.directory.read_state().weights):
        np.testing.assert_array_equal(a, b)
    again = evaluate(got.directory.path)
    assert again.measured["test_accuracy"] == pytest.approx(
        notes["measured"]["after"]["test_accuracy"]
    )
    assert set(notes["settings"]) == {"method", *OWN_FIELDS[method]}


def test_settings_of_every_method_are_those_of_earlier_builds():
    """Otherwise records and fingerprints of earlier runs lose their meaning."""
    assert {name: set(UNLEARNING.fields(name)) for name in UNLEARNING} == {
        name: set(fields) for name, fields in OWN_FIELDS.items()
    }
    assert {name: field.default for name, field in UNLEARNING.built_in_fields().items()} == (
        UNLEARNING_FIELDS
    )


def test_the_same_again_gives_the_same_bits(kept_run, copied, tmp_path):
    for method in ("fedup", "pga", "federaser", "rapid-retrain"):
        weights = [
            unlearn(copied, quick(method), out=tmp_path / f"{method}-{n}").directory for n in (1, 2)
        ]
        for a, b in zip(*(directory.read_state().weights for directory in weights)):
            np.testing.assert_array_equal(a, b)


def test_fedup_starts_from_what_its_function_gives(kept_run, copied):
    starts = []
    got = unlearn(copied, quick(), watch=Watch(plan=starts.append))
    kept = open_source(copied).history.read(4)
    assert kept.ids.tolist() == list(range(6)) and got.notes["report"]["history_round"] == 4
    expected = fedup(
        kept.weights,
        kept.local_models(),
        malicious=kept_run.federation.malicious,
        fraction=0.1,
        examples=kept.examples,
        kernels=kernels_of(kept_run.model),
    )
    for a, b in zip(starts[0].start, expected.weights):
        np.testing.assert_array_equal(a, b)
    zeroed = got.notes["report"]["zeroed"]
    assert {name: z["entries"] for name, z in zeroed.items()} == {
        "conv_1/kernel": 15,
        "conv_2/kernel": 240,
        "dense_1/kernel": 3072,
        "dense_2/kernel": 1008,
        "logits/kernel": 84,
    }


def test_costs_are_counted(kept_run, copied):
    notes = unlearn(copied, quick()).notes
    cost, size = notes["cost"], kept_run.model.count_params()
    # 4 clients of 40 examples: 2 steps of 32 in each of 2 epochs
    assert (cost["rounds"], cost["client_steps"]) == (1, 16)
    assert cost["bytes_down"] == cost["bytes_up"] == 4 * 4 * size
    stored = cost["server_storage_bytes"]
    assert 7 * 4 * size <= stored <= 7 * 4 * size + 2500  # (n + 1) models
    pga = unlearn(copied, quick("pga")).notes
    steps = sum(ascent["steps"] for ascent in pga["report"]["ascents"])
    assert pga["cost"]["client_steps"] == 16 + steps
    assert pga["cost"]["bytes_up"] == 4 * 4 * size + 2 * 4 * size
    eraser = unlearn(copied, quick("federaser")).notes
    # round 1 trains no client; 3 rounds of 4 clients, 1 epoch of 2 steps each
    assert (eraser["cost"]["rounds"], eraser["cost"]["client_steps"]) == (3, 24)
    assert eraser["cost"]["server_storage_bytes"] == 4 * stored
    assert unlearn(copied, quick("fedrecovery")).notes["cost"]["bytes_down"] == 0


def test_retraining_is_a_training_without_the_forgotten(kept_run, copied, tmp_path, monkeypatch):
    got = unlearn(copied, quick("retrain"))
    original = Federation.of.__func__

    def without(cls, config, prepared=None):
        whole = original(cls, config, prepared)
        owners = np.repeat(np.arange(6), whole.clients.sizes)
        return whole.without(np.isin(owners, whole.malicious))

    monkeypatch.setattr(Federation, "of", classmethod(without))
    trained = train(run_config(**SMALL), out=tmp_path / "trained")
    for a, b in zip(trained.model.get_weights(), got.directory.read_state().weights):
        np.testing.assert_array_equal(a, b)
    first = read_arrays(kept_run.directory.history / "round_00001.npz")["weights"]
    own = read_arrays(got.directory.history / "round_00001.npz")
    np.testing.assert_array_equal(own["weights"], first)  # the same initial model
    # and the same shuffles: in round 1 the remaining clients train as before
    theirs = read_arrays(kept_run.directory.history / "round_00001.npz")
    np.testing.assert_array_equal(
        own["updates"], theirs["updates"][np.isin(theirs["ids"], own["ids"])]
    )


def test_the_reference_is_trained_once_and_shared(copied):
    rounds = []
    watch = Watch(reference=rounds.append)
    first = unlearn(copied, quick("not", reference=True), watch=watch)
    second = unlearn(copied, quick("finetune", reference=True), watch=watch)
    assert rounds == [4] and first.notes["reference"] == second.notes["reference"]
    reference = json.loads((copied.with_name("run-retrain") / "unlearning.json").read_text())
    assert first.notes["measured"]["retrained"] == reference["measured"]["after"]
    repeated = unlearn(copied, quick("not", reference=True), watch=watch)
    assert not repeated.new and repeated.directory == first.directory and rounds == [4]
    other = unlearn(copied, quick("not", reference=True, forget=["client:0"]), watch=watch)
    assert rounds == [4, 4] and other.directory.path.name == "run-not-2"


@pytest.mark.parametrize(
    "words, examples, clients",
    [
        (["class:3"], None, []),
        (["example:1:0", "example:1:5", "example:4:2"], 3, []),
        (["client:0", "class:3"], None, [0]),
    ],
)
def test_classes_and_examples(kept_run, copied, words, examples, clients):
    for method in ("retrain", "finetune", "not", "rapid-retrain", "ablation-channel"):
        got = unlearn(copied, quick(method, forget=words))
        stored = read_arrays(got.directory.partition)
        held = kept_run.federation.clients
        if examples is None:
            owners = np.repeat(np.arange(6), held.sizes)
            expected = (held.labels == 3) | np.isin(owners, clients)
        else:
            expected = np.zeros(240, bool)
            expected[held.offsets[[1, 1, 4]] + [0, 5, 2]] = True
        np.testing.assert_array_equal(stored["forgotten"], expected)
        assert got.notes["forgotten"] == {"clients": clients, "examples": int(expected.sum())}
        table = got.directory.clients.read_text().splitlines()
        assert sum(int(row.split(",")[2]) for row in table[1:]) == 240 - expected.sum()
    for method in ("fedup", "pga", "fedrecovery", "federaser"):
        with pytest.raises(UserError, match=f"forget: .*whole clients with {method}"):
            unlearn(copied, quick(method, forget=words))


def test_requests_follow_each_other(kept_run, copied):
    first = unlearn(copied, quick("fedup", forget=["client:1"]))
    second = unlearn(first.directory.path, quick("fedup", forget=["client:2"], rate_limit=0))
    third = unlearn(second.directory.path, quick("finetune", forget=["class:4"]))
    assert third.directory.path.name == "run-fedup-fedup-finetune"
    notes = third.notes
    assert notes["requests"] == [["client:1"], ["client:2"], ["class:4"]]
    assert [n["rounds_before"] for n in (first.notes, second.notes, notes)] == [4, 5, 6]
    assert second.notes["report"]["history_round"] == 5  # the recovery's own round
    assert sorted(third.metrics[0]["participants"]) == [0, 3, 4, 5]
    with pytest.raises(UserError, match="forgotten before"):
        unlearn(third.directory.path, quick("finetune", forget=["client:1"]))
    # the reference of a sequence is one retraining without everything
    compared = unlearn(second.directory.path, quick("finetune", forget=["class:4"], reference=True))
    reference = RunDirectory(pathlib.Path(compared.notes["reference"]))
    forgotten = read_arrays(reference.partition)["forgotten"]
    np.testing.assert_array_equal(forgotten, read_arrays(third.directory.partition)["forgotten"])
    at_once = unlearn(copied, quick("retrain", forget=["class:4", "client:1", "client:2"]))
    for a, b in zip(at_once.directory.read_state().weights, reference.read_state().weights):
        np.testing.assert_array_equal(a, b)


def test_the_rate_limiter_waits_without_aggregating_the_flagged(kept_run, copied):
    first = unlearn(copied, quick("fedup", forget=["client:1"]))
    said = []
    second = unlearn(
        first.directory.path,
        quick("fedup", forget=["client:2"], rate_limit=3),
        watch=Watch(start=lambda case, wait, *_: said.append(wait)),
    )
    phases = [line["phase"] for line in second.metrics]
    assert said == [2] and phases == ["wait", "wait", "recover"]
    for line in second.metrics[:2]:
        assert line["rejected"] == [2] and line["participants"] == [0, 2, 3, 4, 5]
    assert second.notes["report"]["history_round"] == 7 and second.notes["waited_rounds"] == 2
    assert second.notes["rounds_before"] == 5 and second.notes["unlearned_after_round"] == 7
    assert open_source(second.directory.path).rounds == 8
    assert second.notes["cost"]["rounds"] == 3
    later = unlearn(second.directory.path, quick("fedup", forget=["client:3"], rate_limit=1))
    assert later.notes["waited_rounds"] == 0


def test_stop_rules_end_recovery(copied):
    aim = unlearn(copied, quick(stop="target", recovery_rounds=None, fraction=0.0))
    assert aim.notes["rounds"] == 1 and aim.notes["recovered"]["target"] == 0
    flat = unlearn(copied, quick("finetune", stop="plateau", recovery_rounds=9))
    accuracies = [
        flat.notes["measured"]["start"]["remain_accuracy"],
        *(line["remain_accuracy"] for line in flat.metrics),
    ]
    assert flat.notes["recovered"]["plateau"] in (flat.notes["rounds"], None)
    assert len(accuracies) <= 10
    bound = unlearn(copied, quick(stop="bound", recovery_rounds=None, fraction=0.4))
    assert bound.notes["rounds"] == bound.notes["recovered"]["bound"] == 2  # ceil(4 * 0.4)


def test_recovery_is_plain_averaging_unless_told_otherwise(tmp_path):
    config = run_config(**{**SMALL, "rule": "median", "defense": "flap", "prune_every": 1})
    train(config, out=tmp_path / "run")
    plain = unlearn(tmp_path / "run", quick())
    assert plain.metrics[0]["pruned"] == {}
    kept = unlearn(tmp_path / "run", quick(keep_defense=True))
    assert kept.metrics[0]["pruned"]
    stored = open_source(plain.directory.path).history.read(5)
    mean = np.average(stored.updates.astype(np.float64), axis=0, weights=stored.examples)
    moved = np.concatenate([w.ravel() for w in stored.weights]) + mean
    after = np.concatenate([w.ravel() for w in plain.directory.read_state().weights])
    np.testing.assert_allclose(moved, after, atol=1e-6)


def test_attackers_that_stay_go_on_attacking(kept_run, copied):
    one, other = kept_run.federation.malicious.tolist()
    got = unlearn(copied, quick("finetune", forget=[f"client:{one}"]))
    assert got.metrics[0]["attackers"] == [other]
    rest = unlearn(got.directory.path, quick("finetune"))  # the default: all malicious clients
    assert rest.notes["requests"] == [[f"client:{one}"], [f"client:{other}"]]
    with pytest.raises(UserError, match="no client of this run is malicious"):
        unlearn(rest.directory.path, quick("finetune"))


def test_another_seed_draws_anew(copied, tmp_path):
    first = unlearn(copied, quick("retrain"))
    second = unlearn(copied, quick("retrain", unlearn_seed=5), out=tmp_path / "five")
    pairs = zip(first.directory.read_state().weights, second.directory.read_state().weights)
    assert any((a != b).any() for a, b in pairs)
    for name in ("rows", "malicious", "forgotten"):
        np.testing.assert_array_equal(
            *(read_arrays(d.directory.partition)[name] for d in (first, second))
        )
