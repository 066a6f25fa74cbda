"""Ablation-channel unlearning and CDP of runs: changed weights, traffic, server samples."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from unlearn_cases import SMALL, plan_of, quick

from tfunlearn.config.presets import preset, presets
from tfunlearn.core.errors import UserError
from tfunlearn.core.vectors import to_vector
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import unlearn, unlearn_settings
from tfunlearn.methods.ablation_channel import _perturb, _wrong_labels
from tfunlearn.methods.server_samples import sample_stratified, server_samples
from tfunlearn.methods.source import open_source
from tfunlearn.pruning.channels import channel_layers, masks_of
from tfunlearn.unlearning import channel_effects, select_channels
from tfunlearn.workflows.channels import study_channels, write_effects
from tfunlearn.workflows.unlearn.workflow import task_of


def ablation(**more):
    return quick("ablation-channel", **{"forget": ["class:3"], **more})


def moved(run, got):
    """Return the bits of the weights before and after, and the mask of the reported channels."""
    before, after = run.model, got.directory.read_state().weights
    weights = run.directory.read_state().weights
    masks = masks_of(
        channel_layers(before, got.notes["report"]["channel"]),
        got.notes["report"]["selected"],
        [w.shape for w in weights],
    )
    inside = np.concatenate([mask.reshape(-1) for mask in masks])
    return to_vector(weights).view(np.uint32), to_vector(after).view(np.uint32), inside


@pytest.mark.parametrize("mode", ["decentralized", "centralized"])
@pytest.mark.parametrize("optimizer", ["adam", "momentum", "adamw"])
def test_only_the_selected_channels_move(kept_run, copied, mode, optimizer):
    lr = dict(recovery_lr=0.01) if optimizer != "adam" else {}
    got = unlearn(
        copied,
        ablation(mode=mode, delta=0.1, recovery_rounds=2, recovery_optimizer=optimizer, **lr),
    )
    before, after, inside = moved(kept_run, got)
    assert (before[~inside] == after[~inside]).all()
    assert (before[inside] != after[inside]).mean() > 0.85  # some units are dead
    assert got.notes["report"]["entries"] == inside.sum()


def test_channels_are_those_of_largest_effect_on_the_forgotten(kept_run, copied):
    got = unlearn(copied, ablation(delta=0.2))
    held = kept_run.federation.poisoned  # as the clients hold them in the last round
    rows = kept_run.federation.clients.labels == 3
    effects = channel_effects(kept_run.model, held.features[rows], held.labels[rows])
    chosen = select_channels(effects, 0.2)
    report = got.notes["report"]
    assert report["selected"] == {name: list(c) for name, c in chosen.items()}
    assert [len(c) for c in report["selected"].values()] == [2, 4, 24, 17, 2]
    assert report["probe"]["examples"] == rows.sum() and report["extension"] is None


def test_bytes_are_those_of_the_selection_and_the_index(copied):
    got = unlearn(copied, ablation(delta=0.05, recovery_rounds=3))
    report, cost = got.notes["report"], got.notes["cost"]
    # one channel of 6, 16 and 10; six of 120 and five of 84
    assert [len(c) for c in report["selected"].values()] == [1, 1, 6, 5, 1]
    entries = (25 + 1) + (6 * 25 + 1) + 6 * (256 + 1) + 5 * (120 + 1) + (84 + 1)
    assert report["entries"] == entries
    assert cost["bytes_up"] == 3 * 6 * 4 * entries
    assert (
        cost["bytes_down"]
        == 3 * 6 * 4 * entries + 6 * 4 * 14
        == (cost["bytes_up"] + report["index_bytes"])
    )
    assert 0 < cost["work_seconds"] <= cost["seconds"]


def test_forgetting_works(copied):
    for mode, more in (
        ("decentralized", dict(recovery_rounds=6)),
        ("centralized", dict(recovery_lr=0.1, recovery_rounds=6)),
    ):
        measured = unlearn(copied, ablation(mode=mode, delta=0.3, **more)).notes["measured"]
        before, after = measured["before"], measured["after"]
        assert after["forget_test_accuracy"] < 0.3 * before["forget_test_accuracy"], mode
        assert after["remain_test_accuracy"] > before["remain_test_accuracy"] - 0.1, mode


def test_the_server_works_alone(copied):
    got = unlearn(copied, ablation(mode="centralized", recovery_rounds=3))
    cost = got.notes["cost"]
    assert (cost["rounds"], cost["client_steps"], cost["bytes_up"], cost["bytes_down"]) == (0,) * 4
    for line in got.metrics:
        assert line["participants"] == line["attackers"] == [] and line["train_loss"] > 0
    assert not got.directory.worker_log.exists()
    assert got.notes["report"]["origin"] == "drawn from the clients' training data"


@pytest.mark.parametrize(
    "words, kinds",
    [(["client:0"], ["client"]), (["example:1:0", "class:3"], ["example"]), (["class:3"], None)],
)
def test_clients_and_examples_are_marked_as_an_extension(copied, words, kinds):
    for mode in ("decentralized", "centralized"):
        got = unlearn(copied, ablation(mode=mode, forget=words))
        assert got.notes["report"]["extension"] == kinds


def test_wrong_labels_are_drawn_once_or_anew(copied):
    for redraw in (False, True):
        task = task_of(open_source(copied), ablation(redraw=redraw))
        held, mask = task.source.remaining.held(task.source.rounds), task.forgotten_here
        first, second = (_wrong_labels(task, held, mask, number) for number in (1, 2))
        assert (first != held.labels[mask]).all() and 3 not in first
        assert (first == second).all() == (not redraw)


def perturbed_rounds(run, words, *numbers):
    """Return a task, and the clients' training data in some rounds of DE."""
    task = task_of(open_source(run), ablation(forget=words))
    federation = task.source.remaining
    of = _perturb(task, federation, federation.held(task.source.rounds))
    return task, [of(1).cohort(task.source.rounds + number).clients for number in numbers]


def test_no_wrong_label_is_a_class_forgotten_before(copied, tmp_path):
    unlearn(copied, quick("finetune", forget=["class:3", "class:5"]), out=tmp_path / "gone")
    task, [clients] = perturbed_rounds(tmp_path / "gone", ["class:1"], 1)
    labels = clients.labels[task.forgotten_here]
    assert len(labels) > 10 and not set(labels) & {1, 3, 5}


def test_a_backdoor_is_forgotten_with_its_triggers(tmp_path):
    run = train(
        run_config(
            **{
                **SMALL,
                "rounds": 2,
                "attack": ["backdoor"],
                "history": "none",
                "trigger_share": 0.5,
            }
        ),
        out=tmp_path / "run",
    )
    everybody = [f"client:{k}" for k in run.federation.malicious]
    for words in (everybody, everybody[:1]):
        task, [clients] = perturbed_rounds(tmp_path / "run", words, 1)
        mask, federation = task.forgotten_here, task.source.remaining
        np.testing.assert_array_equal(clients.features[mask], federation.poisoned.features[mask])
        assert (clients.features[mask] != federation.clients.features[mask]).any()
        assert (clients.labels[mask] != federation.poisoned.labels[mask]).all()
        others = federation.poisoned if len(words) == 1 else federation.clients
        np.testing.assert_array_equal(clients.labels[~mask], others.labels[~mask])


def test_remaining_labels_follow_the_attacks_schedule(tmp_path):
    train(
        run_config(**{**SMALL, "rounds": 2, "attack_stop": 3, "history": "none"}),
        out=tmp_path / "run",
    )
    task, [on, off] = perturbed_rounds(tmp_path / "run", ["class:3"], 1, 2)
    federation, kept = task.source.remaining, ~task.forgotten_here
    assert federation.attacked(3) != federation.attacked(4)
    for clients, number in ((on, 3), (off, 4)):
        np.testing.assert_array_equal(clients.labels[kept], federation.held(number).labels[kept])
    assert (on.labels[kept] != off.labels[kept]).any()


def test_leaving_attackers_attack_no_more(kept_run, copied):
    malicious = [f"client:{k}" for k in kept_run.federation.malicious]
    got = unlearn(copied, ablation(forget=malicious))
    line = got.metrics[0]
    assert line["attackers"] == [] and len(line["participants"]) == 6
    others = unlearn(copied, ablation())
    assert others.metrics[0]["attackers"] == kept_run.federation.malicious.tolist()


def test_server_samples_have_natural_shares(copied):
    task = task_of(open_source(copied), ablation(mode="centralized", server_samples=120))
    samples = server_samples(task)
    held = task.source.remaining.held(task.source.rounds)
    for label in range(10):
        share = np.mean(held.labels[~task.forgotten_here] == label)
        got = np.sum(samples.examples.labels[~samples.forgotten] == label)
        assert abs(got - 120 * share * np.mean(~task.forgotten_here)) < 1.01
    assert (
        len(samples.forgotten) == 120
        and abs(samples.forgotten.sum() - 120 * task.forgotten_here.mean()) < 1.01
    )
    everything = server_samples(task_of(open_source(copied), ablation(mode="centralized")))
    assert len(everything.forgotten) == 240


def test_stratified_by_hand():
    strata = np.repeat([5, 6, 7], [60, 30, 10])
    rng = np.random.default_rng(0)
    for count, expected in ((10, [6, 3, 1]), (3, [1, 1, 1]), (50, [30, 15, 5]), (99, [59, 30, 10])):
        rows = sample_stratified(strata, count, rng)
        assert np.bincount(strata[rows], minlength=8)[5:].tolist() == expected
        assert (np.diff(rows) > 0).all()
    assert sample_stratified(strata, 100, rng).tolist() == list(range(100))
    with pytest.raises(UserError, match="server_samples: .*at least 3.*got 2"):
        sample_stratified(strata, 2, rng)


@pytest.fixture(scope="module")
def held_back(tmp_path_factory):
    """A run whose server holds 40 examples."""
    folder = tmp_path_factory.mktemp("held") / "run"
    return train(
        run_config(**{**SMALL, "attack": [], "rounds": 1, "validation_examples": 40}), out=folder
    )


def test_the_servers_own_examples_are_taken_if_it_has_some(held_back):
    got = unlearn(held_back.directory.path, ablation(mode="centralized"))
    report = got.notes["report"]
    labels = held_back.federation.held_back.labels
    assert (report["samples"], report["origin"]) == (40, "held back by the server")
    assert report["perturbation"]["examples"] == (labels == 3).sum() > 0
    got = unlearn(held_back.directory.path, ablation(mode="centralized", forget=["client:1"]))
    assert got.notes["report"]["origin"] == "drawn from the clients' training data"


def test_a_class_that_the_server_does_not_have(held_back):
    task = task_of(open_source(held_back.directory.path), ablation(mode="centralized"))
    data = task.source.federation.held_back
    object.__setattr__(data, "labels", np.where(data.labels == 3, 4, data.labels))
    with pytest.raises(
        UserError,
        match="class: .*of which the server has samples.*got 3",
    ):
        server_samples(task)


def test_the_server_holds_nothing_of_classes_forgotten_before(held_back, tmp_path):
    unlearn(held_back.directory.path, quick("finetune", forget=["class:3"]), out=tmp_path / "gone")
    samples = server_samples(
        task_of(open_source(tmp_path / "gone"), ablation(mode="centralized", forget=["class:1"]))
    )
    labels = held_back.federation.held_back.labels
    assert 3 not in samples.examples.labels and (labels == 3).any()
    assert len(samples.examples.labels) == (labels != 3).sum()
    assert (samples.examples.labels[samples.forgotten] == 1).all()


def test_one_class_per_client_and_flipped_labels(tmp_path):
    run = train(
        run_config(
            **{
                **SMALL,
                "rounds": 1,
                "partition": "classes",
                "clients": 10,
                "history": "none",
                "train_examples": 200,
                "malicious": 10,
                "validation_examples": 40,
            }
        ),
        out=tmp_path / "run",
    )
    source = run.federation.config.attack.source
    task = task_of(
        open_source(tmp_path / "run"), ablation(mode="centralized", forget=[f"class:{source}"])
    )
    assert len(task.flagged) and server_samples(task).origin == "held back by the server"
    clients = task_of(
        open_source(tmp_path / "run"),
        ablation(mode="centralized", forget=[f"class:{source}", "client:0"]),
    )
    assert server_samples(clients).forgotten.any()  # although all labels of the class are flipped


def test_partial_updates_are_no_evidence_for_fedup(copied, tmp_path):
    unlearn(copied, ablation(recovery_rounds=2), out=tmp_path / "partial")
    assert not (tmp_path / "partial" / "history").exists()
    with pytest.raises(UserError, match="later than the last unlearning"):
        unlearn(tmp_path / "partial", quick("fedup", forget=["client:0"], rate_limit=0))


def test_adaptive_optimizers_bring_their_learning_rate(copied):
    for mode in ("decentralized", "centralized"):
        task = task_of(open_source(copied), ablation(mode=mode, recovery_optimizer="adamw"))
        assert plan_of(task).training.lr == 1e-3
    task = task_of(open_source(copied), ablation(mode="centralized"))
    assert (plan_of(task).training.optimizer, plan_of(task).training.lr) == ("sgd", 0.01)


def test_crafted_updates_do_not_wake_pruned_channels(tmp_path):
    train(
        run_config(**{**SMALL, "rounds": 1, "attack": ["gaussian"], "history": "none"}),
        out=tmp_path / "run",
    )
    got = unlearn(tmp_path / "run", quick("cdp", prune_share=0.3, recovery_rounds=2))
    weights = got.directory.read_state().weights
    masks = masks_of(
        channel_layers(open_source(tmp_path / "run").model),
        got.notes["report"]["pruned"],
        [w.shape for w in weights],
    )
    assert sum(mask.sum() for mask in masks) > 0 and got.metrics[-1]["crafted"]
    assert all((w[mask] == 0).all() for w, mask in zip(weights, masks))


def test_a_class_that_no_client_has(copied, tmp_path):
    run = train(
        run_config(
            **{**SMALL, "rounds": 1, "partition": "classes", "clients": 10, "train_examples": 60}
        ),
        out=tmp_path / "classes",
    )
    unlearn(run.directory.path, quick("retrain", forget=["class:4"]), out=tmp_path / "gone")
    for mode in ("decentralized", "centralized"):
        with pytest.raises(UserError, match="forget: .*forgotten before.*got"):
            unlearn(tmp_path / "gone", ablation(mode=mode, forget=["class:4"]))


def test_cdp_prunes_and_keeps_pruned(kept_run, copied):
    got = unlearn(copied, quick("cdp", prune_share=0.3, recovery_rounds=2))
    weights = got.directory.read_state().weights
    pruned = got.notes["report"]["pruned"]
    assert [len(c) for c in pruned.values()] == [2, 5]
    masks = masks_of(channel_layers(kept_run.model), pruned, [w.shape for w in weights])
    assert all((w[mask] == 0).all() for w, mask in zip(weights, masks))
    assert all((w != 0).mean() > 0.5 for w in weights)
    assert got.notes["measured"]["start"] != got.notes["measured"]["before"]
    sent = 4 * 6 * 10 * (6 + 16)  # class means of all channels, from six clients
    per_round = 4 * 6 * kept_run.model.count_params()
    assert got.notes["cost"]["bytes_up"] == sent + 2 * per_round
    for words in (["client:0"], ["class:3", "example:0:0"]):
        with pytest.raises(UserError, match="forget: .*classes only, with cdp"):
            unlearn(copied, quick("cdp", forget=words))


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(delta=0), "delta: .*got 0.0"),
        (dict(delta=1.5), "delta: .*got 1.5"),
        (dict(delta=-1), "delta"),
        (dict(mode="server"), "mode: unknown name 'server'"),
        (dict(channel="bn"), "channel: unknown name"),
        (dict(selection="best"), "selection"),
        (dict(probe=0), "probe: .*got 0"),
        (dict(server_samples=100), "not allowed with mode decentralized; got 100"),
        (dict(mode="centralized", server_samples=0), "server_samples: .*got 0"),
        (dict(mode="centralized", recovery_epochs=2), "not allowed with mode centralized; got 2"),
        (dict(stop="bound"), "stop: .*got 'bound'"),
        (dict(keep_defense=True), "not allowed with method ablation-channel"),
        (
            dict(method="fedup", delta=0.5),
            "delta: .*with method fedup; it is for ablation-channel.*got 0.5",
        ),
        (dict(method="cdp", prune_share=1), "prune_share: .*got 1"),
        (dict(method="cdp", delta=0.1), "not allowed with method cdp"),
        (dict(method="cdp", channel="filter+bn"), "not allowed with method cdp"),
    ],
)
def test_settings_that_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        unlearn_settings(**{"method": "ablation-channel", **values})


def test_presets_hold_the_papers_settings():
    names = [name for name in presets() if name.startswith("ablation-channel")]
    for name in names:
        config = run_config(**preset(name, "train"))
        settings = unlearn_settings(**preset(name, "unlearn"))
        assert config.data.clients == 10 and settings.method == "ablation-channel"
        assert (config.training.lr, config.training.optimizer) == (0.1, "sgd")
        assert config.training.local_epochs == 5
    rows = {
        name: (run_config(**preset(name, "train")), unlearn_settings(**preset(name, "unlearn")))
        for name in names
    }
    figures = {
        name: (c.training.rounds, c.training.batch_size, s.delta, s.forget)
        for name, (c, s) in rows.items()
    }
    assert figures["ablation-channel-cifar10-resnet20"] == (50, 128, 0.05, ("class:1",))
    assert figures["ablation-channel-cifar100-vgg11"] == (50, 128, 0.01, ("class:1",))
    assert figures["ablation-channel-mnist-one-class"] == (20, 64, 0.2, ("class:1",))
    assert figures["ablation-channel-inversion"] == (10, 128, 0.2, ("class:3",))
    assert rows["ablation-channel-inversion-centralized"][1].recovery_lr == 0.005
    with pytest.raises(UserError, match="preset: unknown name 'ablation'"):
        preset("ablation", "train")


def test_the_study_of_channels(kept_run, copied, tmp_path):
    study = study_channels(copied, ["class:3"], delta=0.3, layers=["conv_2", "logits"], prune=True)
    assert list(study.forget) == list(study.remain) == ["conv_2", "logits"]
    assert [len(c) for c in study.chosen.values()] == [5, 3]
    by_name = {(line.layer, line.selection): line for line in study.pruned}
    assert len(by_name) == 7
    assert by_name["", "original"].forget is not None
    assert by_name["logits", "important"].forget == 0  # the logit of class 3 itself
    write_effects(tmp_path / "effects.csv", study)
    lines = (tmp_path / "effects.csv").read_text().splitlines()
    assert len(lines) == 1 + 16 + 10 and lines[0].startswith("layer,channel,forget_effect")
    with pytest.raises(UserError, match="no Conv or Dense layer 'conv_3'"):
        study_channels(copied, ["class:3"], layers=["conv_3"])


def test_what_the_notes_say_can_be_read_back(copied):
    notes = json.loads(unlearn(copied, ablation()).directory.unlearning.read_text())
    report = notes["report"]
    assert report["perturbation"] == {
        "examples": notes["forgotten"]["examples"],
        "seed": 0,
        "redraw": False,
    }
    assert report["probe"]["resolution"] == pytest.approx(1 / report["probe"]["examples"])
    assert math.isclose(report["delta"], 0.05) and report["samples"] == 240
