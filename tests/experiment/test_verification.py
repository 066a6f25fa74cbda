"""Verification of small complete runs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from unlearn_cases import contents, quick

from tfunlearn.config.presets import preset
from tfunlearn.core.errors import UserError
from tfunlearn.core.files import digest_of
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import unlearn
from tfunlearn.experiment.verification import VerifySettings, verify
from tfunlearn.models import build_model
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.verification import lira_scores, membership_roc
from tfunlearn.workflows.report import report
from tfunlearn.workflows.verify.central import CentralTraining
from tfunlearn.workflows.verify.membership import attack_by_likelihood
from tfunlearn.workflows.verify.predictions import ModelPredictions
from tfunlearn.workflows.verify.record import records

SMALL = dict(
    train_examples=240, clients=5, rounds=3, lr=3e-3, malicious=1, attack="backdoor", history="last"
)
FAST = dict(retrains=3, relearn_epochs=1, shadow_models=1, shadow_epochs=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run, the unlearned `run-not`, and its verification with shadows."""
    folder = tmp_path_factory.mktemp("verified")
    train(run_config(**SMALL), out=folder / "run")
    unlearn(folder / "run", quick("not", reference=True))
    told = []
    found = verify(folder / "run-not", VerifySettings(**FAST, shadows=3), tell=told.append)
    assert found.new and any("shadow" in words for words in told)
    return folder, found


def test_everything_is_beside_retraining(made):
    folder, found = made
    record = found.record
    assert found.folder == folder / "run-not" / "verification"
    notes = json.loads((folder / "run-not" / "unlearning.json").read_text())
    for title in ("before", "after"):
        for name, own in (
            ("test_accuracy", "test accuracy"),
            ("test_loss", "test loss"),
            ("forget_accuracy", "forgotten accuracy"),
            ("remain_accuracy", "remaining accuracy"),
            ("attack_success", "attack success"),
        ):
            assert record["measures"][own][title] == pytest.approx(notes["measured"][title][name])
    assert len(record["retrained"]) == 3 and record["poisoned"]
    assert all(len(value["retrained"]) == 3 for value in record["measures"].values())
    by_class = {entry["label"]: entry for entry in record["classes"]}
    for title in ("before", "after"):
        matrix = np.array(record["confusion"][title])
        assert matrix.sum() == 360 and matrix.trace() / 360 == pytest.approx(
            record["measures"]["test accuracy"][title]
        )
        assert by_class[4]["accuracy"][title] == pytest.approx(matrix[4, 4] / matrix[4].sum())
    sizes = {entry["client"]: entry["examples"] for entry in record["clients"]}
    assert sum(sizes.values()) == 240 and len(sizes) == 5
    assert [e["client"] for e in record["clients"] if e["data"] == "forgotten"] == (
        notes["forgotten"]["clients"]
    )
    verdict = record["verdict"]
    assert record["groups"]["sizes"] and verdict["word"] in (
        "forgotten",
        "still remembers",
        "over-forgotten",
        "damaged",
        "not shown",
    )
    assert verdict["plain"].count(".") <= 2 and verdict["sentence"]


def test_attacks_and_their_resolution(made):
    record = made[1].record
    assert set(record["membership"]) == {
        "threshold",
        "LiRA",
        "shadow models",
        "threshold, retain set",
    }
    roc = record["membership"]["threshold"]["after"]
    assert roc["members"] == record["counts"]["forgotten"] == 48
    assert roc["others"] == record["counts"]["never"]
    assert roc["resolved"] == {"0.01": True, "0.001": False}
    assert any("false-positive rate of 0.1%" in words for words in record["not_tested"])
    assert record["shadows"]["count"] == 3 and record["shadows"]["before"]["members"] == 3 * 48
    score = record["shadows"]["challenge"]
    assert score["epsilon_limit"] == 1 and len(score["epsilons"]) == 48
    names = [e["name"] for e in record["evidence"]]
    assert names == [
        "forgotten accuracy",
        "attack success",
        "LiRA attack, AUC",
        "remaining accuracy",
        "test accuracy",
        "forgotten confidence",
        "threshold attack, AUC",
        "shadow models attack, AUC",
    ]
    assert [e["graded"] for e in record["evidence"]] == [True] * 5 + [False] * 3
    assert 0 < record["shadows"]["p_value"] <= 1  # three shadow federations, too few for grading
    assert any(words.startswith("U-LiRA in the verdict: 3") for words in record["not_tested"])
    found = record["membership"]["shadow models"]["more"]
    assert all(0 <= part["recall"] <= 1 and 0 <= part["fpr"] <= 1 for part in found.values())
    steps = record["relearning"]["steps"]
    assert set(steps) == {"after", "retrained 1", "retrained 2", "retrained 3"}
    assert len(record["inversion"]) == 3
    assert set(record["inversion"][0]["images"]) == {"before", "after", "retrained"}


def test_the_same_again_is_found_and_other_settings_are_not(made):
    folder, found = made
    before = contents(folder)
    again = verify(folder / "run-not", VerifySettings(**FAST, shadows=3))
    assert not again.new and again.record == found.record and contents(folder) == before
    without = dict(FAST, relearn_epochs=0, shadow_models=0, inversion=False, retrains=1)
    other = verify(folder / "run-not", VerifySettings(**without))
    assert other.new and other.folder.name == "verification-2"
    assert set(other.record["membership"]) == {"threshold", "threshold, retain set"}
    told = "\n".join(other.record["not_tested"])
    for words in (
        "beyond 1 seed, without which there is no verdict",
        "LiRA, which needs 3",
        "shadow federations",
        "shadow-model",
        "relearn time",
        "model inversion",
        "memorization groups",
    ):
        assert words in told
    shutil.rmtree(other.folder)


def test_against_a_retrained_run(made):
    folder, _ = made
    without = dict(FAST, relearn_epochs=0, shadow_models=0, inversion=False)
    reference = folder / "run-retrain"
    found = verify(folder / "run-not", VerifySettings(**without), against=[reference])
    assert [one["path"] for one in found.record["retrained"]] == [str(reference)]
    assert found.record["verdict"]["word"] == "no verdict"
    assert "1 retrained model gives no usable noise" in found.record["verdict"]["sentence"]
    shutil.rmtree(found.folder)
    for run, against, message in (
        (folder / "run", [], "an unlearned run; forget something first"),
        (reference, [], "not a retrained one"),
        (folder / "run-not", [folder / "run-not"], "given once"),
        (folder / "run-not", [folder / "run"], "is a trained run"),
        (folder / "none", [], "no run directory"),
    ):
        with pytest.raises(UserError, match=message):
            verify(run, VerifySettings(**without), against=against)


def test_too_few_examples_are_not_judged(made):
    folder, _ = made
    few = unlearn(folder / "run", quick("finetune", forget=["example:0:0"]), out=folder / "few")
    found = verify(few.directory.path, VerifySettings(**dict(FAST, inversion=False)))
    assert found.record["verdict"]["word"] == "not shown"
    assert (
        "1 forgotten example; the metrics need at least 20" in found.record["verdict"]["sentence"]
    )


def test_shadows_of_an_unlearned_run_are_refused_at_once(made):
    folder, _ = made
    again = unlearn(folder / "run-not", quick("finetune", forget=["client:1"]))
    models = sorted(path.name for path in folder.iterdir())
    with pytest.raises(
        UserError, match="shadows: .* 0 where the source run was .*unlearned.*got 3"
    ):
        verify(again.directory.path, VerifySettings(**FAST, shadows=3))
    assert sorted(path.name for path in folder.iterdir()) == models


def test_an_attack_that_never_came_poisons_nothing(tmp_path):
    train(run_config(**{**SMALL, "attack_start": 50}), out=tmp_path / "run")
    unlearn(tmp_path / "run", quick("not", forget=["malicious"]))
    record = verify(
        tmp_path / "run-not",
        VerifySettings(retrains=1, relearn_epochs=0, shadow_models=0, inversion=False),
    ).record
    assert not record["poisoned"] and not record["partly_poisoned"]
    assert "attack success" not in [e["name"] for e in record["evidence"]]


def test_a_damaged_verification_is_named(made, tmp_path):
    folder, _ = made
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "run-not" / "verification" / "verification.json"
    path.write_text(path.read_text().replace('"word": "', '"word": "very '))
    with pytest.raises(UserError, match="verification.json is damaged .its checksum differs"):
        report([tmp_path / "copy" / "run-not"])
    assert not list(tmp_path.glob("copy/*report*"))


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(shadows=2), "shadows: .*got 2"),
        (dict(retrains=0), "retrains: .*got 0"),
        (dict(variance="all"), "variance"),
        (dict(relearn_alpha=1.0), "relearn_alpha: .*got 1.0"),
        (dict(tolerance=-0.1), "tolerance: .*got -0.1"),
        (dict(tolerance=0.9), "tolerance: .*got 0.9"),
        (dict(shadow_batch=0), "shadow_batch: .*got 0"),
    ],
)
def test_settings_out_of_range(values, message):
    with pytest.raises(UserError, match=message):
        VerifySettings(**values)


def test_the_papers_shadow_models_are_a_preset():
    settings = VerifySettings(**preset("shadow-models-xu", "verify"))
    assert (settings.shadow_models, settings.shadow_epochs, settings.shadow_batch) == (20, 10, 64)
    with pytest.raises(UserError, match="preset for train; this one is for verify"):
        preset("shadow-models-xu", "train")


def test_another_training_seed_keeps_the_split_alone(made, tmp_path):
    folder, _ = made
    first = json.loads((folder / "run-shadows" / "1" / "config.json").read_text())
    assert first["seed"] == 0 and first["training_seed"] not in (None, 0)
    runs = [RunDirectory(folder / name) for name in ("run", "run-shadows/1", "run-shadows/2")]
    parts = [np.load(run.partition) for run in runs]
    assert all(np.array_equal(parts[0]["rows"], part["rows"]) for part in parts)
    weights = [run.read_state().weights[0] for run in runs]
    assert not np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[1], weights[2])
    same = train(run_config(**SMALL, training_seed=0), out=tmp_path / "same")
    for a, b in zip(same.model.get_weights(), runs[0].read_state().weights):
        np.testing.assert_array_equal(a, b)


def test_central_training_learns_and_begins_anew_each_time(rng):
    model = build_model("mlp", (4, 4, 1), 3, seed=0)
    start = model.get_weights()
    images = rng.random((60, 4, 4, 1)).astype(np.float32)
    labels = (images.mean(axis=(1, 2, 3)) * 6 % 3).astype(np.int32)
    central = CentralTraining(model, optimizer="adam", lr=1e-2, batch_size=25)
    ends = []
    for seed in (0, 0, 1):
        steps = list(central.steps(start, images, labels, seed=seed, epochs=2))
        assert steps == [1, 2, 3, 4, 5, 6]
        ends.append([weight.copy() for weight in model.get_weights()])
    same = [all(np.array_equal(a, b) for a, b in zip(ends[0], other)) for other in ends[1:]]
    assert same == [True, False] and not np.array_equal(ends[0][0], start[0])


def test_on_a_class_the_shadow_models_recall_is_neither_zero_nor_constant(tmp_path):
    """Shadow models are trained on all classes: on one class they would learn a constant."""
    train(run_config(rounds=6, lr=3e-3, clients=5), out=tmp_path / "run")
    unlearn(tmp_path / "run", quick("ablation-channel", forget=["class:1"]))
    record = verify(
        tmp_path / "run-ablation-channel",
        VerifySettings(retrains=1, relearn_epochs=0, inversion=False),
    ).record
    before = record["membership"]["shadow models"]["more"]["before"]
    roc = record["membership"]["shadow models"]["before"]
    assert before["recall"] > 0 and len(roc["fpr"]) > 2 and 0 < roc["auc"] < 1


def test_every_model_is_attacked_by_likelihood_with_as_many_shadows(rng):
    """A model equal to the last retrained one scores like it: three shadow models attack both."""

    def view(shift=0.0):
        odds = {"forgotten": rng.normal(shift, 1, 40), "never": rng.normal(0, 1, 50)}
        return ModelPredictions({}, {}, odds, {}, np.zeros((2, 2)), {})

    retrained = [view() for _ in range(4)]
    found = attack_by_likelihood(view(2.0), retrained[-1], retrained, "auto")
    assert found.after.auc == found.retrained[-1].auc and found.before.auc > 0.7
    scores = [
        lira_scores(retrained[-1].odds[name], np.stack([v.odds[name] for v in retrained[:3]]))
        for name in ("forgotten", "never")
    ]
    assert found.after.auc == membership_roc(*scores).auc
    assert attack_by_likelihood(view(), view(), retrained[:2], "auto") is None


def test_records_of_another_build_are_left_out_and_torn_ones_are_named(tmp_path):
    folder = tmp_path / "run" / "verification"
    folder.mkdir(parents=True)
    content = {"key": "k", "verification": 1, "evidence": [{"name": "n"}], "membership": {}}
    (folder / "verification.json").write_text(json.dumps({**content, "sha256": digest_of(content)}))
    directory = RunDirectory(tmp_path / "run")
    with pytest.warns(UserWarning, match="verification.json is left out, as another build wrote"):
        assert records(directory) == []
    (folder / "verification.json").write_text(json.dumps({**content, "sha256": "0"}))
    with pytest.raises(UserError, match="^run: .*verification.json is damaged .its checksum"):
        records(directory)
