"""Runs with every attack and every aggregation rule, and with examples held by the server."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tfunlearn.aggregation import RULES
from tfunlearn.attacks import ATTACKS
from tfunlearn.core.errors import UserError
from tfunlearn.core.files import read_arrays
from tfunlearn.datasets import from_arrays
from tfunlearn.experiment import run_config, train
from tfunlearn.models import build_model
from tfunlearn.training.federation import Federation
from tfunlearn.training.threat_model import adversary_of
from tfunlearn.workflows.evaluate.evaluate import evaluate

SMALL = dict(train_examples=200, clients=7, malicious=2, byzantine=1, rounds=2, model="mlp")


TOKENS = np.random.default_rng(0).integers(2, 30, (250, 8))
ON_DATA = {  # data of the kind that an attack takes
    "table": dict(dataset="breast-cancer"),
    "tokens": dict(dataset=from_arrays(TOKENS, TOKENS[:, 0] > 15, vocabulary=30), model="text-cnn"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_runs_and_is_recorded(attack, tmp_path):
    needs_all = getattr(ATTACKS[attack], "needs_all", False)
    knowledge = "full" if needs_all or attack in ("fang", "ipm", "min-max") else "partial"
    takes = getattr(ATTACKS[attack], "takes", None)
    config = run_config(
        attack=attack,
        rule="trimmed-mean",
        knowledge=knowledge,
        attack_start=2,
        **{**SMALL, **ON_DATA.get(takes, {})},
    )
    run = train(config, out=tmp_path / "run")
    first, second = run.metrics
    malicious = run.federation.malicious.tolist()
    assert first["attackers"] == first["crafted"] == [] and second["attackers"] == malicious
    on_updates = config.update_attack is not None
    assert second["crafted"] == (malicious if on_updates else [])
    assert all(np.isfinite(w).all() for w in run.directory.read_state().weights)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_runs(rule, tmp_path):
    run = train(run_config(rule=rule, **SMALL), out=tmp_path / "run")
    assert run.metrics[-1]["test_accuracy"] > 0.3
    held = run.federation.held_back
    assert (held is not None and len(held.labels) == 100) == (RULES[rule].reference == "trusted")
    state = run.directory.read_state()
    assert (state.reference is None) == (rule != "centered-clipping")


def test_flaps_multi_krum_sees_the_models_tensors(tmp_path, monkeypatch):
    module, seen = sys.modules["tfunlearn.aggregation.multi_krum"], []
    original = module.krum_flap
    monkeypatch.setattr(
        module, "krum_flap", lambda u, **options: seen.append(options) or original(u, **options)
    )
    run = train(
        run_config(rule="multi-krum", compat="flap", **{**SMALL, "rounds": 1}), out=tmp_path / "run"
    )
    assert seen[0]["f"] == 1 and seen[0]["sizes"] == tuple(w.size for w in run.model.get_weights())


def test_a_round_goes_on_from_the_last_aggregate(tmp_path):
    """Centered clipping in both execution modes; its state is part of the checkpoint."""
    runs = [
        train(
            run_config(rule="centered-clipping", clip=0.5, gather=gather, **SMALL),
            out=tmp_path / str(gather),
        )
        for gather in (True, False)
    ]
    states = [run.directory.read_state() for run in runs]
    for left, right in zip(states[0].weights, states[1].weights):
        np.testing.assert_allclose(left, right, atol=1e-5)
    np.testing.assert_allclose(states[0].reference, states[1].reference, atol=1e-5)
    assert 0 < np.linalg.norm(states[0].reference) <= 2 * 0.5 + 1e-5


@pytest.mark.parametrize("defense", [["err"], ["lfr"], ["err", "lfr"], ["union", "flap"]])
def test_rejection_names_who_was_rejected(defense, tmp_path):
    config = run_config(defense=defense, attack="sign-flip", attack_scale=3.0, reject=2, **SMALL)
    run = train(config, out=tmp_path / "run")
    stored = read_arrays(run.directory.partition)
    assert len(stored["server"]) == 100 and len(stored["rows"]) == 100
    assert not set(stored["server"]) & set(stored["rows"])
    malicious = set(run.federation.malicious.tolist())
    for line in run.metrics:
        assert len(line["rejected"]) == 2 or config.defense.rejection[0].name == "union"
        assert 2 <= len(line["rejected"]) <= 4
        assert malicious & set(line["rejected"])
    assert run.metrics[-1]["test_accuracy"] > 0.2
    assert bool(run.metrics[0]["pruned"]) == ("flap" in defense)


def test_backdoor_success_is_of_triggered_images_of_other_classes(tmp_path):
    config = run_config(
        attack=["backdoor", "boost"], trigger_share=0.5, target=3, **{**SMALL, "rounds": 6}
    )
    run = train(config, out=tmp_path / "run")
    data, last = run.federation.data, run.metrics[-1]
    others = data.test_labels != 3
    triggered = data.test_features[others].copy()
    triggered[:, -3:, -3:] = 255
    predictions = run.model.predict(triggered / np.float32(255), verbose=0).argmax(axis=1)
    assert last["attack_success"] == pytest.approx(np.mean(predictions == 3), abs=1e-6)
    assert last["attack_success"] > 0.15
    assert evaluate(run.directory.path).measured["attack_success"] == last["attack_success"]
    assert run.federation.poisoned_examples == sum(
        max(1, int(0.5 * run.federation.clients.sizes[k] + 0.5)) for k in run.federation.malicious
    )


def test_rounds_without_enough_attackers_are_not_called_attacked(tmp_path):
    config = run_config(
        attack="min-max", participation=4, **{**SMALL, "rounds": 6, "malicious": 3, "clients": 8}
    )
    run = train(config, out=tmp_path / "run")
    present = set(run.federation.malicious.tolist())
    counts = [len(present & set(line["participants"])) for line in run.metrics]
    assert {count >= 2 for count in counts} == {True, False}
    for line, count in zip(run.metrics, counts):
        assert len(line["attackers"]) == len(line["crafted"]) == (count if count >= 2 else 0)


@pytest.mark.parametrize("more", [dict(defense="err"), dict(attack="fang", knowledge="full")])
def test_noise_goes_with_rejection_and_simulation(more, tmp_path):
    config = run_config(rule="norm-bound", noise=1e-4, **{**SMALL, "rounds": 1}, **more)
    assert len(train(config, out=tmp_path / "run").metrics) == 1


def test_a_broken_client_does_not_stop_an_attacked_run(tmp_path, monkeypatch):
    """The broken client's row is missing in the adversary's simulation, as it is at the server."""
    from tfunlearn.training import federation as module

    original = module.Federation.cohort

    def with_a_broken_client(self, number):
        import dataclasses

        cohort = original(self, number)
        images = cohort.clients.features / np.float32(255)
        honest = next(k for k in range(7) if k not in self.malicious)
        images[cohort.clients.rows(honest)] = np.nan
        clients = dataclasses.replace(cohort.clients, features=images)
        return dataclasses.replace(cohort, clients=clients)

    monkeypatch.setattr(module.Federation, "cohort", with_a_broken_client)
    from tfunlearn.federated import GatheringRounds
    from tfunlearn.training import rounds

    monkeypatch.setattr(
        rounds,
        "GatheringRounds",
        lambda work, **options: GatheringRounds(work, **{**options, "feature_dtype": np.float32}),
    )
    for rule in ("krum", "trimmed-mean"):
        config = run_config(
            rule=rule, attack="fang", knowledge="full", **{**SMALL, "byzantine": 2, "rounds": 1}
        )
        (line,) = train(config, out=tmp_path / rule).metrics
        assert len(line["dropped"]) == 1


def test_boost_replaces_by_the_number_of_attackers():
    federation = Federation.of(run_config(attack=["label-flip", "boost"], **SMALL))
    cohort = federation.cohort(1)
    assert sorted(set(cohort.boosts.tolist())) == [1, 3.5]
    assert cohort.boosts[federation.malicious].tolist() == [3.5, 3.5]
    federation = Federation.of(run_config(attack=["label-flip", "boost"], boost=9.0, **SMALL))
    assert set(federation.cohort(1).boosts.tolist()) == {1, 9}
    assert set(Federation.of(run_config(attack="label-flip", **SMALL)).cohort(1).boosts) == {1}


def test_statistics_of_batch_normalisation_are_never_crafted():
    federation = Federation.of(run_config(attack="sign-flip", **{**SMALL, "model": "resnet20"}))
    model = build_model("resnet20", (28, 28, 1), 10)
    columns = adversary_of(federation, model).columns
    statistics = sum(w.shape.num_elements() for w in model.non_trainable_weights)
    assert columns.sum() == model.count_params() - statistics and statistics > 0


def test_fang_follows_the_rule():
    for rule, name in (
        ("krum", "fang-krum"),
        ("multi-krum", "fang-krum"),
        ("bulyan", "fang-krum"),
        ("mean", "fang-trim"),
        ("median", "fang-trim"),
    ):
        config = run_config(attack="fang", rule=rule, **{**SMALL, "knowledge": "full"})
        assert config.update_attack[0].name == name


def test_who_gathers():
    assert not run_config().gathers and run_config(gather=True).gathers
    for values in (
        dict(rule="median"),
        dict(attack="alie"),
        dict(defense="err"),
        dict(before="bucketing"),
    ):
        assert run_config(**values).gathers
    assert not run_config(rule="median", gather=False).gathers


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(rule="krum", byzantine=4), "rule: krum needs .*here n >= 11; got n=10, f=4"),
        (dict(rule="bulyan"), "bulyan .*got n=10, f=2 .byzantine 0.2"),
        (dict(rule="bulyan", byzantine="radical", clients=12), "n >= 15.*byzantine radical"),
        (dict(rule="trimmed-mean", byzantine=0.5), "trimmed-mean .*got n=10, f=5"),
        (dict(rule="krum", participation=6, byzantine=2), "krum .*got n=6"),
        (dict(rule="krum", byzantine="many"), "byzantine: unknown name 'many'"),
        (
            dict(rule="median", selected=3),
            "selected: .*got 3",
        ),
        (dict(before="bucketing", rule="krum"), "krum .*got n=5, f=2"),
        (dict(attack=["label-flip", "backdoor"]), "at most one attack on data"),
        (dict(attack=["alie", "ipm"]), "at most one attack on updates"),
        (dict(attack="alie", malicious=1), "alie with knowledge partial .*got 1"),
        (dict(attack="fang-krum", malicious=5, knowledge="full"), "n > 2c.*got n=10 clients, c=5"),
        (dict(attack="alie", knowledge="all"), "knowledge: unknown name 'all'"),
        (dict(attack="alie", malicious=8), "malicious: alie .*got 8 of 10"),
        (
            dict(attack="min-max", attack_scale=2.0),
            "attack_scale: .*it is for .*sign-flip; got 2.0",
        ),
        (
            dict(attack="fang-trim", knowledge="full", attack_scale=0.5),
            "attack_scale: .*more than 1 .*got 0.5",
        ),
        (dict(attack="fang-trim", attack_space="update"), "attack_space: unknown name"),
        (dict(attack="backdoor", trigger_size=0), "trigger_size: .*got 0"),
        (dict(attack="backdoor", trigger_position="left"), "trigger_position"),
        (dict(attack="backdoor", trigger_share=0.0), "trigger_share: .*got 0.0"),
        (
            dict(defense="err", validation_examples=0),
            "validation_examples: .* since err needs.*got 0",
        ),
        (dict(rule="fltrust", validation_examples=0), "since fltrust needs examples"),
        (dict(defense="err", gather=False), "gather: .* since err needs every update; got False"),
        (dict(attack="alie", gather=False), "since alie needs every update"),
        (
            dict(defense="err", rule="krum", clients=7, byzantine=2),
            "err, with one client left out: krum .*got n=6",
        ),
        (dict(defense=["err", "union"]), "at most one of err, lfr and union"),
        (dict(defense="err", byzantine=0), "reject: .*got 0"),
        (dict(defense="union", reject=5), "reject: union .*got 10"),
        (dict(defense="err", reject=-1), "reject: .*got -1"),
        (dict(compat="fang"), "compat: .*got 'fang'"),
        (dict(compat="flap", rule="krum"), "compat: not allowed .*median.*got 'flap'"),
        (dict(compat="flap", rule="multi-krum", selected=3), "selected: .*got 3"),
        (dict(compat="flap", rule="multi-krum", gather=False), "since compat needs every update"),
        (dict(compat="flap", defense="err", reject=2), "reject: .* compat flap.*got 2"),
        (dict(attack=["boost", "alie"]), "boost: .*attack on updates.*got 'boost . alie'"),
        (dict(attack="ipm", boost=3.0), "boost: .*attack on updates.*got 3.0"),
        (
            dict(attack="fang", rule="krum", attack_scale=3.0),
            "attack_scale: not allowed with fang-krum.*got 3.0",
        ),
        (
            dict(attack="fang-trim", attack_scale=3.0),
            "not allowed with fang-trim and knowledge partial; got 3.0",
        ),
        (dict(attack="alie", malicious=1, participation=5), "alie .*got 1"),
        (dict(attack="fang-krum", malicious=1), "needs 2 malicious clients"),
        (dict(defense=["err", "err"]), "defense: .*got 'err . err'"),
        (dict(rule="rfa", passes=10**9), "passes: .*got 1000000000"),
        (dict(rule="norm-bound", noise=1e39), "noise: .*got 1e.39"),
    ],
)
def test_mistakes_are_found_before_any_work(values, message):
    with pytest.raises(UserError, match=message):
        run_config(**values)


def test_mistakes_that_need_the_data(tmp_path):
    for values, message in (
        (dict(attack="backdoor", trigger_size=29), "trigger_size: .*28x28; got 29"),
        (dict(defense="err", validation_examples=1430), "at most 1427"),
    ):
        with pytest.raises(UserError, match=message):
            train(run_config(**values), out=tmp_path / "run")
        assert not (tmp_path / "run").exists()
