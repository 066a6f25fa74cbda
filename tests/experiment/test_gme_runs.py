"""Grouped Memorization Evaluation of runs: retrained once, shared, resumed, refused."""

from __future__ import annotations

import csv
import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
from unlearn_cases import SMALL, contents, quick

from tfunlearn.core.errors import UserError
from tfunlearn.evaluation import assign_groups, cross_entropies
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.gme import GmeSettings, study_memorization, write_groups, write_scores
from tfunlearn.experiment.unlearning import Watch, unlearn
from tfunlearn.methods.source import open_source
from tfunlearn.runs.run_directory import RunDirectory, unlearning_record, write_record
from tfunlearn.workflows.evaluate.evaluate import evaluate
from tfunlearn.workflows.evaluate.retraining import omitted_clients
from tfunlearn.workflows.evaluate.settings import SCORES

TWO = GmeSettings(retrains=2, control=False)


@pytest.fixture(scope="module")
def unlearned(kept_run, tmp_path_factory):
    """A run, two unlearnings of its client 0, and two retrained models next to it."""
    folder = tmp_path_factory.mktemp("gme")
    shutil.copytree(kept_run.directory.path, folder / "run")
    for method, seeds in (("memorization", (0, 1)), ("not", (0,))):
        for seed in seeds:
            unlearn(folder / "run", quick(method, forget=["client:0"], unlearn_seed=seed))
    study_memorization([folder / "run"], TWO, forget=["client:0"])
    return folder


def runs_of(folder):
    return [folder / "run-memorization", folder / "run-memorization-2", folder / "run-not"]


def test_retrained_models_are_made_once_and_shared(unlearned, tmp_path):
    before, started = contents(unlearned), []
    watch = Watch(start=lambda case, waiting, target: started.append(target))
    study = study_memorization(runs_of(unlearned), TWO, watch=watch)
    assert started == [] and contents(unlearned) == before  # nothing trained, nothing written
    assert list(study.report.rows) == ["original", "memorization", "not", "retrained"]
    assert [study.report.rows[n].models for n in study.report.rows] == [1, 2, 1, 2]
    paths = study.models["retrained"].paths
    assert len(set(paths)) == 2
    a, b = (np.load(f"{path}/checkpoint.npz") for path in paths)
    assert any((a[name] != b[name]).any() for name in a.files)  # new sampling, new shuffles
    shutil.move(paths[1], tmp_path / "away")
    try:
        again = study_memorization(runs_of(unlearned), TWO, watch=watch)
        assert len(started) == 1  # the missing one
        np.testing.assert_array_equal(again.report.scores, study.report.scores)
    finally:
        shutil.rmtree(paths[1])
        shutil.move(tmp_path / "away", paths[1])


def test_a_random_reset_stands_beside_memorization_and_is_made_once(unlearned, tmp_path):
    shutil.copytree(unlearned, tmp_path / "copy")  # the copy has other paths
    runs, started = [tmp_path / "copy" / "run-memorization"], []
    record = unlearning_record(RunDirectory(runs[0]))
    moved = dataclasses.replace(record, source=str(tmp_path / "copy" / "run"))
    write_record(RunDirectory(runs[0]), moved)
    watch = Watch(start=lambda case, *_: started.append(case.own.saliency))
    for _ in range(2):
        study = study_memorization(runs, GmeSettings(retrains=2), watch=watch)
        assert list(study.report.rows) == [
            "original",
            "memorization",
            "memorization control: random reset",
            "retrained",
        ]
    assert started.count("random") == 1
    (path,) = study.models["memorization control: random reset"].paths
    control = unlearning_record(RunDirectory(pathlib.Path(path)))
    assert control.seed == record.seed and control.report["count"] == record.report["count"]
    assert control.settings == {**record.settings, "saliency": "random"}


def test_numbers_are_those_of_the_models(unlearned, kept_run):
    study = study_memorization(runs_of(unlearned), TWO)
    federation, model = kept_run.federation, kept_run.model
    held = federation.poisoned
    rows = held.rows(0)
    images, labels = held.features[rows] / np.float32(255), held.labels[rows]

    def outputs(path):
        weights = open_source(path).state.weights
        model.set_weights(weights)
        return model(images, training=False).numpy()

    logits = {
        path: outputs(path)
        for path in (unlearned / "run", *runs_of(unlearned), *study.models["retrained"].paths)
    }
    p = {
        path: np.exp(-cross_entropies(out, labels, from_logits=True))
        for path, out in logits.items()
    }
    original = p[unlearned / "run"]
    retrained = [p[path] for path in study.models["retrained"].paths]
    np.testing.assert_allclose(
        study.report.scores, original - np.mean(retrained, axis=0), atol=1e-5
    )
    top = []
    for k in (0, 1):  # each grades the groups formed by the other
        groups = assign_groups(original - retrained[1 - k])
        hits = logits[study.models["retrained"].paths[k]].argmax(axis=1) == labels
        top.append(hits[groups == 4].mean())
    assert study.report.rows["retrained"].mean[4] == pytest.approx(np.mean(top))
    everything = np.mean(
        [(logits[path].argmax(axis=1) == labels).mean() for path in runs_of(unlearned)[:2]]
    )
    assert study.report.rows["memorization"].mean[5] == pytest.approx(everything)
    assert study.clients.tolist() == [0] * 40 and study.indices.tolist() == list(range(40))
    assert study.overlap == 0 and study.correlation is None


def test_fairness_and_peak_of_an_unlearned_run(unlearned, kept_run):
    study = study_memorization(runs_of(unlearned), TWO)
    model, held = kept_run.model, kept_run.federation.poisoned

    def losses(path):
        model.set_weights(open_source(path).state.weights)
        values = cross_entropies(
            model(held.features / np.float32(255), training=False).numpy(),
            held.labels,
            from_logits=True,
        )
        return np.array([values[held.rows(client)].mean() for client in range(1, 6)])

    change = losses(unlearned / "run-not") - losses(unlearned / "run")
    expected = np.abs(change - change.mean()).mean()
    assert study.models["not"].fairness[0].value == pytest.approx(expected, rel=1e-4)
    alone = evaluate(unlearned / "run-not")
    assert alone.local["not"].fairness.value == pytest.approx(expected, rel=1e-4)
    assert alone.local["not"].peak.rounds == 1 and alone.missing is None
    # 2 epochs of 2 batches at 5 clients
    assert study.models["not"].peaks[0].costs["client_steps"] == 20
    assert evaluate(unlearned / "run").local == {}
    spread = (
        evaluate(
            unlearned / "run-not", settings=GmeSettings(fairness="std", fairness_metric="accuracy")
        )
        .local["not"]
        .fairness
    )
    assert spread.value == pytest.approx(spread.changes.std())


def test_cheaper_scores(unlearned):
    proxy = study_memorization(
        [unlearned / "run"], GmeSettings(retrains=2, scores="checkpoints"), forget=["client:0"]
    )
    assert -1 <= proxy.correlation <= 1 and proxy.report.scorers == 0
    source = open_source(unlearned / "run")
    assert (proxy.report.scores >= 0).all() and len(source.history.rounds) == 4
    pool = study_memorization(
        [unlearned / "run"],
        GmeSettings(retrains=2, scores="subsets", pool=3, omitted=2),
        forget=["client:0"],
    )
    assert -1 <= pool.correlation <= 1 and pool.report.graders == 2
    assert set(SCORES) == {"retraining", "subsets", "checkpoints"}
    with pytest.raises(UserError, match="scores: .*whole clients.*got 'subsets'"):
        study_memorization([unlearned / "run"], GmeSettings(scores="subsets"), forget=["class:3"])


def test_everybody_is_left_out_equally_often():
    for pool, count in ((10, 2), (7, 3), (20, 1)):
        dealt = omitted_clients(np.arange(2, 12), pool=pool, count=count, seed=3)
        assert len(dealt) == pool and all(len(set(hand)) == count for hand in dealt)
        times = np.bincount(np.concatenate(dealt), minlength=12)[2:]
        assert times.sum() == pool * count and np.ptp(times) <= 1
    with pytest.raises(UserError, match="omitted: .*1 to 9; got 10"):
        omitted_clients(np.arange(10), pool=3, count=10, seed=0)


def test_files_say_what_was_found(unlearned, tmp_path):
    study = study_memorization(runs_of(unlearned), TWO)
    write_groups(tmp_path / "groups.csv", study)
    write_scores(tmp_path / "scores.csv", study)
    groups = list(csv.DictReader((tmp_path / "groups.csv").open()))
    line = next(row for row in groups if (row["model"], row["group"]) == ("not", "0-80"))
    assert float(line["accuracy"]) == pytest.approx(study.report.rows["not"].mean[4], abs=1e-6)
    assert {row["group"] for row in groups} >= {"95-100", "all", "fairness", "peak_rounds"}
    scores = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert len(scores) == 40 and sum(row["group"] == "0-80" for row in scores) == 32
    with pytest.raises(FileExistsError):
        write_groups(tmp_path / "groups.csv", study)


def test_what_cannot_be_compared_is_refused(unlearned, kept_run, tmp_path):
    one = unlearned / "run-not"
    with pytest.raises(UserError, match="run: must be given once; got .*run-not/'"):
        study_memorization([one, f"{one}/"], TWO)
    shutil.copytree(one, tmp_path / "copy")
    with pytest.raises(UserError, match="given once; this is a copy"):
        study_memorization([one, tmp_path / "copy"], TWO)
    shutil.copy(unlearned / "run-memorization" / "unlearning.json", tmp_path / "copy")
    with pytest.raises(UserError, match="one of them belongs to another run"):
        study_memorization([tmp_path / "copy"], TWO)
    lines = (one / "metrics.jsonl").read_text()
    shutil.copy(one / "unlearning.json", tmp_path / "copy")
    (tmp_path / "copy" / "metrics.jsonl").write_text(lines.replace("test_accuracy", "accuracy"))
    with pytest.raises(UserError, match="the line of round 1 of metrics.jsonl"):
        study_memorization([tmp_path / "copy"], TWO)
    assert "metrics.jsonl" in evaluate(tmp_path / "copy").missing
    with pytest.raises(UserError, match="pool: .*with scores retraining.*got 5"):
        GmeSettings(pool=5)
    with pytest.raises(UserError, match="pool: .*left out of some.*got 2"):
        study_memorization(
            [unlearned / "run"],
            GmeSettings(retrains=2, scores="subsets", pool=2, omitted=1),
            forget=["client:0", "client:1", "client:2"],
        )
    for settings, message in (
        (dict(retrains=1), "retrains: .*got 1"),
        (dict(grading="all"), "grading"),
        (dict(scores="guess"), "scores"),
        (dict(fairness="range"), "fairness"),
        (dict(scores="subsets", grading="disjoint"), "grading: .*got 'disjoint'"),
    ):
        with pytest.raises(UserError, match=message):
            GmeSettings(**settings)
    with pytest.raises(UserError, match="a request, such as --client 0"):
        study_memorization([unlearned / "run"], TWO)
    with pytest.raises(UserError, match="forget: .*got 'client:0'"):
        study_memorization([one], TWO, forget=["client:0"])
    with pytest.raises(UserError, match="run, which is a trained run"):
        study_memorization([one, unlearned / "run"], TWO)
    with pytest.raises(UserError, match=r"at least 20.*whose groups are too small: "):
        study_memorization([unlearned / "run"], TWO, forget=["example:0:1", "example:2:3"])
    with pytest.raises(UserError, match="has forgotten something else"):
        other = unlearn(unlearned / "run", quick("not", forget=["client:1"]), out=tmp_path / "b")
        study_memorization([one, other.directory.path], TWO)
    small = train(run_config(**{**SMALL, "model": "mlp", "rounds": 1}), out=tmp_path / "mlp")
    mixed = unlearn(small.directory.path, quick("not", forget=["client:0"]), out=tmp_path / "c")
    with pytest.raises(UserError, match="one architecture.*weights.*weights"):
        study_memorization([one, mixed.directory.path], TWO)
    shutil.rmtree(tmp_path / "mlp")
    with pytest.raises(UserError, match="unlearned from, is gone or was changed"):
        study_memorization([mixed.directory.path], TWO)
    assert "is gone" in evaluate(mixed.directory.path).missing


def test_the_original_is_the_run_that_was_asked_for(unlearned, tmp_path):
    """Two runs that share retrained models have different originals."""
    shown = []
    for name in ("run-memorization", "run-not"):
        second = unlearn(
            unlearned / name, quick("finetune", forget=["client:1"]), out=tmp_path / f"{name}-2"
        )
        study = study_memorization([second.directory.path], TWO)
        shown.append(study.models["original"].test_accuracy[0])
        assert shown[-1] == second.notes["measured"]["before"]["test_accuracy"]
    assert shown[0] != shown[1]


def test_a_damaged_reference_hides_itself_alone(unlearned):
    got = unlearn(unlearned / "run", quick("finetune", forget=["client:3"], reference=True))
    assert set(evaluate(got.directory.path).local) == {"finetune", "retrained"}
    (unlearned / got.notes["reference"] / "checkpoint.npz").unlink()
    again = evaluate(got.directory.path)
    assert set(again.local) == {"finetune"} and "retrained: run" in again.missing


def test_overlapping_clients_are_told(tmp_path):
    run = train(
        run_config(
            **{**SMALL, "partition": "overlapping", "rounds": 1, "attack": (), "history": "none"}
        ),
        out=tmp_path / "run",
    )
    got = study_memorization([run.directory.path], TWO, forget=["client:0"])
    rows = [set(part.tolist()) for part in run.federation.parts]
    shared = len(rows[0] & set.union(*rows[1:])) / len(rows[0])
    assert got.overlap == pytest.approx(shared) and 0.3 < shared < 0.9
