"""FedMemPrune, FedOSD and FedAU on a run: the effect of their rounds on the weights."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from unlearn_cases import plan_of, quick

from tfunlearn.config.presets import preset, presets
from tfunlearn.core.errors import UserError
from tfunlearn.core.vectors import to_vector
from tfunlearn.experiment import run_config
from tfunlearn.experiment.unlearning import Watch, unlearn, unlearn_settings
from tfunlearn.local_training.state import ServerState
from tfunlearn.methods import fedau as fedau_plan
from tfunlearn.methods.source import open_source
from tfunlearn.models.weight_names import weight_names
from tfunlearn.training.federation import Federation
from tfunlearn.training.rounds import rounds_of
from tfunlearn.unlearning import locate, orthogonal_step, reset, without_return
from tfunlearn.unlearning.eligible import eligible_places
from tfunlearn.workflows.unlearn.ratio import draw_ratio, study_ratio
from tfunlearn.workflows.unlearn.workflow import task_of


@pytest.fixture(scope="module")
def source(kept_run):
    return open_source(kept_run.directory.path)


def first_rounds(source, count=1, **settings):
    """Return the task, the plan, and the states of its first rounds."""
    task = task_of(source, quick(**settings))
    plan = plan_of(task)
    run_round, states = plan.rounds_by(None), [ServerState(plan.start)]
    for number in range(1, count + 1):
        cohort = (
            plan.cohort(number) if plan.cohort else (task.recovering.cohort(source.rounds + number))
        )
        states.append(run_round(states[-1], cohort)[0])
    return task, plan, states


@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize("order", ["apply_then_reset", "reset_original"])
def test_the_first_round_is_ordinary_and_then_reset(source, order):
    task, plan, (start, after) = first_rounds(
        source, method="memorization", ratio=0.25, reset_order=order
    )
    ordinary, _ = rounds_of(
        task.recovering, source.model, training=task.training, gather=True, seed=task.seed
    )(start, task.recovering.cohort(source.rounds + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masks = locate(
            start.weights,
            [new - old for new, old in zip(ordinary.weights, start.weights)],
            0.25,
            model=source.model,
        )
    base = ordinary if order == "apply_then_reset" else start
    expected = reset(base.weights, masks, seed=plan.report["reset_seed"], model=source.model)
    for a, b in zip(after.weights, expected):
        np.testing.assert_array_equal(a, b)
    total = sum(
        source.model.weights[n].shape.num_elements()
        for n in eligible_places(start.weights, model=source.model)
    )
    assert plan.report["count"] == total // 4 and plan.report["eligible"] == total
    assert list(plan.report["shares"]) == weight_names(source.model)
    assert plan.report["shares"][weight_names(source.model)[0]] == masks[0].mean()
    assert plan.report["client_weights"] == "samples"


def test_ratio_zero_is_finetuning_and_ratio_one_is_another_net(kept_run, copied):
    told = []
    none = unlearn(copied, quick("memorization", ratio=0), watch=Watch(tell=told.append))
    same = unlearn(copied, quick("finetune", recovery_rounds=2))
    for a, b in zip(none.directory.read_state().weights, same.directory.read_state().weights):
        np.testing.assert_array_equal(a, b)
    assert told[0]["count"] == 0 and told[0]["threshold"] is None and len(none.metrics) == 2
    everything = unlearn(copied, quick("memorization", ratio=1))
    assert everything.notes["report"]["moved_share"] == 1
    assert everything.notes["report"]["count"] == everything.notes["report"]["eligible"]
    assert (
        everything.notes["measured"]["after"]["remain_accuracy"]
        < (none.notes["measured"]["after"]["remain_accuracy"])
    )
    assert everything.notes["cost"]["rounds"] == 2  # the locating round counts


@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize(
    ("saliency", "look"),
    [
        ("salun", "forgotten"),
        ("abs_mean_grad", "gradient"),
        ("localized", "forgotten"),
        ("random", "round"),
    ],
)
def test_every_saliency_looks_where_it_should(source, saliency, look, recwarn):
    task, plan, (start, after) = first_rounds(
        source, method="memorization", ratio=0.2, saliency=saliency
    )
    assert plan.report["count"] > 0 and plan.report["saliency"] == saliency
    # 2 epochs of 2 steps at 2 clients, and 1 of 2 at 4
    steps = {"forgotten": 8, "gradient": 8, "round": 0}
    assert plan.cost.client_steps == steps[look] and plan.cost.rounds == 0
    assert (plan.cost.bytes_up > 0) == (look != "round")


def test_classes_and_examples_are_forgotten_too(kept_run, copied):
    classes = unlearn(copied, quick("memorization", ratio=None, forget=["class:3"]))
    assert classes.notes["report"]["ratio"] == 0.1
    assert classes.notes["forgotten"]["clients"] == []
    some = unlearn(copied, quick("memorization", ratio=None, forget=["example:0:1", "example:5:2"]))
    assert some.notes["report"]["ratio"] == 0.3 and some.notes["forgotten"]["examples"] == 2
    with pytest.raises(UserError, match="ratio: .*got 1.5"):
        quick("memorization", ratio=1.5)
    with pytest.raises(UserError, match="zero_updates"):
        unlearn(copied, quick("memorization", ratio=1e-4, zero_updates="error"))


def test_a_net_that_the_reset_has_killed_is_noticed(kept_run, copied):
    said = []
    got = unlearn(
        copied,
        quick("memorization", ratio=1, reset_rule="zeros", recovery_rounds=9, reference=True),
        watch=Watch(warn=said.append),
    )
    layers = got.notes["report"]["silent_layers"]
    assert layers == ["conv_1", "conv_2", "dense_1", "dense_2", "logits"]
    assert "no signal passes conv_1" in said[0] and got.notes["warnings"] == said
    assert got.notes["rounds"] == 1 + 5  # the locating round, then the guard's patience
    assert "chance level" in got.failed and "try --ratio 0.5, or --method retrain" in got.failed
    assert got.notes["measured"]["retrained"] is None  # a ruined model is not compared
    alive = unlearn(copied, quick("memorization", ratio=0))
    assert alive.notes["report"]["silent_layers"] == [] and not alive.failed


def test_equal_weights_are_the_runs_own_choice(tmp_path):
    federation = Federation.of(
        run_config(train_examples=200, clients=4, partition="dirichlet", client_weights="uniform")
    )
    assert federation.undefended().config.aggregation.client_weights == "uniform"
    sampled = Federation.of(run_config(train_examples=200, clients=10, participation=3))
    draws = [
        [tuple(sampled.cohort(n, seed=seed).ids) for n in range(1, 9)] for seed in (None, 0, 1)
    ]  # a retraining samples its own clients, by default as the run did
    assert draws[0] == draws[1] != draws[2]
    with pytest.raises(UserError, match="client_weights: unknown name 'equal'"):
        run_config(client_weights="equal")


@pytest.mark.usefixtures("at_work")
def test_fedosd_forgets_beside_the_others_and_does_not_go_back(source):
    task, plan, states = first_rounds(source, 2, method="fedosd", unlearn_lr=0.05)
    assert plan.rounds == 2 and plan.settles_after == 1
    assert plan.cost_of(1).client_steps == 6 * 2 and plan.cost_of(1).rounds == 1  # one epoch
    assert plan.cost_of(2).client_steps == 4 * 2 * 2
    flagged = set(task.flagged.tolist())
    assert flagged < set(plan.cohort(1).ids.tolist())
    assert not flagged & set(plan.cohort(2).ids.tolist())
    start, forgot, recovered = (to_vector(state.weights) for state in states)
    gentle = dataclasses.replace(task.training, optimizer="sgd", lr=0.05, local_epochs=1)
    engine = rounds_of(task.recovering, source.model, training=gentle, gather=True, seed=task.seed)
    remaining = engine.gather(states[0].weights, task.recovering.cohort(source.rounds + 1)).stack
    unlearner = rounds_of(
        task.leaving, source.model, training=gentle, gather=True, seed=task.seed, loss="unlearning"
    )
    wrong = unlearner.gather(
        states[0].weights, task.leaving.cohort(source.rounds + 1, task.flagged)
    ).stack
    step = orthogonal_step(wrong.mean(axis=0), remaining)
    np.testing.assert_allclose(forgot - start, step, atol=1e-6)
    assert np.abs(remaining @ (forgot - start)).max() < 1e-4 * np.linalg.norm(step) * (
        np.linalg.norm(remaining, axis=1).max()
    )
    back = (
        rounds_of(
            task.recovering, source.model, training=task.training, gather=True, seed=task.seed
        )
        .gather(states[1].weights, task.recovering.cohort(source.rounds + 2))
        .stack
    )
    np.testing.assert_allclose(
        recovered - forgot, without_return(back, forgot - start).mean(axis=0), atol=1e-6
    )
    assert unlearn_settings(method="fedosd").rule == "target"


def test_who_holds_both_trains_twice_with_fedosd(source):
    task = task_of(source, quick("fedosd", forget=["class:3"]))
    plan, holders = plan_of(task), task.leaving.clients.present
    remaining = -(-task.remaining.clients.sizes // 32)
    assert plan.cost_of(1).client_steps == remaining.sum() + len(holders)
    assert plan.cost_of(1).bytes_up == 4 * task.parameters * (6 + len(holders))


def test_a_later_request_does_not_go_back_to_before_the_reset(copied):
    """The locating round started from a model that had not forgotten yet."""
    first = unlearn(copied, quick("memorization", forget=["client:0"], recovery_rounds=2))
    assert first.notes["settles_after"] == 1 and first.notes["unlearned_after_round"] == 5
    later = open_source(first.directory.path)
    assert 5 in later.history.rounds and later.last_unlearning == 5
    np.testing.assert_array_equal(
        to_vector(later.history.read(5).weights), to_vector(open_source(copied).state.weights)
    )
    with pytest.raises(UserError, match=r"later than the last unlearning \(round 5\)"):
        few = dataclasses.replace(
            later,
            history=dataclasses.replace(
                later.history, kept={n: k for n, k in later.history.kept.items() if n <= 5}
            ),
        )
        plan_of(task_of(few, quick("pga", forget=["client:1"])))
    second = plan_of(task_of(later, quick("pga", forget=["client:1"])))
    assert second.report["history_round"] == 7
    osd = unlearn(copied, quick("fedosd", forget=["client:0"], recovery_rounds=2))
    assert osd.notes["settles_after"] == 2 and osd.notes["unlearned_after_round"] == 6


def test_each_request_draws_its_own_reset(copied):
    first = unlearn(copied, quick("memorization", forget=["client:0"]))
    second = unlearn(first.directory.path, quick("memorization", forget=["client:1"]))
    assert first.notes["report"]["reset_seed"] != second.notes["report"]["reset_seed"]


def test_stop_rules_look_at_what_comes_after_the_reset(copied):
    got = unlearn(copied, quick("memorization", ratio=0.9, stop="plateau", recovery_rounds=5))
    curve = [line["remain_accuracy"] for line in got.metrics]
    recovered = got.notes["recovered"]
    assert recovered["target"] is None or curve[recovered["target"] - 1] >= (
        got.notes["measured"]["before"]["remain_accuracy"] - 0.011
    )
    assert recovered["target"] != 0 and len(curve) >= 3  # the reset and at least two steady rounds
    if recovered["plateau"] is not None:
        last = recovered["plateau"]
        assert max(curve[last - 2 : last]) < max(curve[: last - 2]) + 0.002


def test_fedau_changes_the_head_alone(kept_run, copied, source):
    for words, method in ((["client:1"], "clients"), (["class:3"], "classes")):
        got = unlearn(copied, quick("fedau", forget=words))
        before, after = kept_run.model.get_weights(), got.directory.read_state().weights
        for a, b in zip(before[:-2], after[:-2]):
            np.testing.assert_array_equal(a, b)
        assert (before[-2] != after[-2]).any() and (before[-1] != after[-1]).any()
        assert got.notes["rounds"] == 0 and got.notes["cost"]["rounds"] == 2
        assert got.notes["report"]["classes"] == ([3] if method == "classes" else None)
    with pytest.raises(UserError, match="head_alpha: .*got 0.9"):
        plan_of(task_of(source, quick("fedau", forget=["class:3"], head_alpha=0.9)))
    same = unlearn(copied, quick("fedau", forget=["client:1"], head_alpha=0.0))
    for a, b in zip(kept_run.model.get_weights(), same.directory.read_state().weights):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_fedaus_second_head_learns_the_clients_other_examples_truthfully(source, monkeypatch):
    """Client 1 forgets its first five examples: only those have wrong labels."""
    learned = []
    monkeypatch.setattr(
        fedau_plan,
        "train_head",
        lambda features, labels, head, **_: (learned.append((len(features), labels.copy())), head)[
            1
        ],
    )
    task = task_of(
        source, quick("fedau", forget=[f"example:1:{n}" for n in range(5)], head_rounds=1)
    )
    plan_of(task)
    ((count, labels),) = learned
    held = source.remaining.poisoned
    own = held.labels[held.rows(1)]
    assert count == len(own) and (labels[:5] != own[:5]).all() and (labels[5:] == own[5:]).all()
    learned.clear()
    plan_of(task_of(source, quick("fedau", forget=["client:1"], head_rounds=1)))
    ((_, labels),) = learned
    assert (labels != own).all()


def test_fedau_moves_the_classes_that_stay_alike(kept_run, source):
    """The subtracted head started from zeros, so the top one of the other classes stays."""
    images = kept_run.federation.data.test_features / np.float32(255)
    before = kept_run.model(images, training=False).numpy()
    plan = plan_of(task_of(source, quick("fedau", forget=["class:3"], head_rounds=5)))
    kept_run.model.set_weights(plan.start)
    after = kept_run.model(images, training=False).numpy()
    kept_run.model.set_weights(source.state.weights)
    others = [label for label in range(10) if label != 3]
    assert (before[:, others].argmax(axis=1) == after[:, others].argmax(axis=1)).mean() > 0.99
    assert (after.argmax(axis=1) == 3).mean() < (before.argmax(axis=1) == 3).mean() / 2


def test_the_published_settings_of_fedosd_are_a_preset():
    settings = unlearn_settings(**preset("fedosd-official", "unlearn"))
    assert (settings.unlearn_rounds, settings.unlearn_lr, settings.recovery_rounds) == (
        100,
        4e-4,
        100,
    )
    assert (settings.recovery_lr, settings.recovery_epochs, settings.rule) == (1e-6, 1, "rounds")
    assert settings.unlearn_batch >= 10**6  # one step over all of a client's data


def test_a_ratio_is_suggested_from_one_round(kept_run, copied, tmp_path, monkeypatch, rasterizer):
    study = study_ratio(copied, ["client:0"])
    assert [found.rule for found in study.suggestions] == ["relative", "decade"]
    assert all(0.05 <= found.ratio <= 0.95 for found in study.suggestions)
    assert len(study.sizes) == kept_run.model.count_params()
    monkeypatch.setattr("tfunlearn.report.figures.render", rasterizer)
    draw_ratio(tmp_path / "ratio.png", study)
    assert (tmp_path / "ratio.png").stat().st_size > 5000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ratio.png", "run"]


def test_the_new_methods_give_the_same_bits_again(kept_run, copied, tmp_path):
    for method in ("memorization", "fedosd"):
        weights = [
            unlearn(copied, quick(method), out=tmp_path / f"{method}-{n}").directory for n in (1, 2)
        ]
        for a, b in zip(*(directory.read_state().weights for directory in weights)):
            np.testing.assert_array_equal(a, b)


def test_settings_of_other_methods_are_refused():
    for options in (
        dict(method="not", ratio=0.2),
        dict(method="fedau", recovery_rounds=3),
        dict(method="memorization", unlearn_rounds=2),
        dict(method="fedosd", head_lr=1),
    ):
        with pytest.raises(UserError, match="is for"):
            unlearn_settings(forget=["client:0"], **options)


def test_presets_hold_the_papers_settings():
    names = [name for name in presets() if name.startswith("memorization")]
    rows = {
        name.removeprefix("memorization-"): (
            run_config(**preset(name, "train")),
            unlearn_settings(**preset(name, "unlearn")),
        )
        for name in names
    }
    assert {name: (s.ratio, s.recovery_rounds) for name, (_, s) in rows.items()} == {
        "cifar10-iid": (0.3, 29),
        "cifar10-noniid": (0.4, 29),
        "cifar100-iid": (0.8, 39),
        "cifar100-noniid": (0.85, 39),
        "emnist-iid": (0.3, 29),
        "emnist-noniid": (0.4, 29),
    }
    for name, (config, settings) in rows.items():
        assert config.aggregation.client_weights == "uniform" and config.training.rounds == 100
        assert (config.data.partition, config.data.alpha) == (
            "overlapping" if name.endswith("-iid") else "dirichlet",
            0.5,
        )
        assert settings.reset_rule == "he_uniform_compat" and settings.zero_updates == "include"
        assert settings.forget == ("client:0",) and settings.method == "memorization"
        assert settings.rule == "rounds"
    assert rows["cifar100-noniid"][1].recovery_epochs == 5
    assert rows["cifar10-iid"][0].training.client.batch_size == 128
