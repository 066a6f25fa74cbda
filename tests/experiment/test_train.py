"""Complete runs on the embedded digits, in process."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import read_arrays
from tfunlearn.datasets import LabeledData, load
from tfunlearn.engines import tff_is_usable
from tfunlearn.experiment import run_config, train
from tfunlearn.runs.run_directory import RunDirectory, new_run_directory
from tfunlearn.training.federation import Federation
from tfunlearn.workflows.evaluate.evaluate import evaluate

SMALL = dict(train_examples=200, clients=4, rounds=3, lr=3e-3, prune_every=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    seen = []
    config = run_config(
        attack="label-flip",
        defense="flap",
        malicious=2,
        attack_start=2,
        attack_stop=2,
        participation=3,
        **SMALL,
    )
    return train(config, out=folder, on_round=seen.append), seen


def test_run_directory_holds_everything(run):
    result, seen = run
    names = {path.name for path in result.directory.path.iterdir()}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "partition.npz",
        "clients.csv",
        "checkpoint.npz",
        "model.keras",
        "curves.png",
        "tensorboard",
        *(["worker.log"] if tff_is_usable() else []),
        "history",
        "previous.npz",
        ".lock",
    }
    lines = [json.loads(line) for line in result.directory.metrics.read_text().splitlines()]
    assert lines == seen == result.metrics and [line["round"] for line in lines] == [1, 2, 3]
    for line in lines:
        for name in ("test_accuracy", "test_loss", "attack_success", "source_error", "seconds"):
            assert isinstance(line[name], float)
        assert len(line["participants"]) == line["clients"] == 3
    assert result.directory.curves.read_bytes().startswith(b"\x89PNG")
    config = json.loads(result.directory.config.read_text())
    assert config["seed"] == 0 and config["versions"]["tensorflow"] == tf.__version__
    assert len(config["weights"]["trainable"]) == 10 and config["weights"]["statistics"] == []


def test_attack_and_pruning_happen_when_they_should(run):
    result, _ = run
    malicious = set(result.federation.malicious.tolist())
    first, second, third = result.metrics
    assert first["attackers"] == third["attackers"] == []
    assert second["attackers"] == [k for k in second["participants"] if k in malicious]
    assert second["attackers"] and len(malicious) == 2
    assert first["pruned"] and third["pruned"] and not second["pruned"]
    assert first["pruned"]["conv_1"]["skipped"].startswith("narrow")
    assert len(first["pruned"]["conv_2"]["pruned"]) == 1


def test_the_saved_model_is_the_last_round_and_has_the_zeros(run):
    result, _ = run
    model = tf.keras.models.load_model(result.directory.model)
    state = result.directory.read_state()
    assert state.finished == 3
    for a, b in zip(model.get_weights(), state.weights):
        np.testing.assert_array_equal(a, b)
    (channel,) = result.metrics[-1]["pruned"]["conv_2"]["pruned"]
    assert not model.get_layer("conv_2").get_weights()[0][..., channel].any()


def test_partition_on_disk_is_the_one_that_was_used(run):
    result, _ = run
    stored = read_arrays(result.directory.partition)
    federation = result.federation
    assert stored["malicious"].tolist() == federation.malicious.tolist()
    whole = load("digits")  # the run used 200 of its 1,437 training images
    for client, rows in enumerate(np.split(stored["rows"], stored["offsets"][1:-1])):
        mine = federation.clients.rows(client)
        np.testing.assert_array_equal(whole.labels[rows], federation.clients.labels[mine])
        np.testing.assert_array_equal(whole.features[rows], federation.clients.features[mine])
    table = result.directory.clients.read_text().splitlines()
    assert table[0].startswith("client,malicious,examples,class_0") and len(table) == 5
    assert sum(int(row.split(",")[2]) for row in table[1:]) == 200


def test_tensorboard_holds_the_same_numbers(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result, _ = run
    events = EventAccumulator(str(result.directory.tensorboard), size_guidance={"tensors": 0})
    events.Reload()
    values = [float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors("test_accuracy")]
    assert values == pytest.approx([line["test_accuracy"] for line in result.metrics])


def test_evaluate_reads_the_run_back(run):
    result, _ = run
    again = evaluate(result.directory.path)
    last = result.metrics[-1]
    assert again.rounds == again.planned_rounds == 3 and sum(again.class_counts) == 360
    for name, value in again.measured.items():
        assert value == pytest.approx(last[name], rel=1e-5)
    shares = np.dot(again.class_accuracies, again.class_counts) / 360
    assert shares == pytest.approx(last["test_accuracy"])


def test_the_same_seed_gives_the_same_run_and_faces_agree(run, tmp_path):
    result, _ = run
    config = run_config(**json.loads(json.dumps(result.federation.config.flat())))
    again = train(config, out=tmp_path / "again")
    assert [line["checkpoint_sha256"] for line in again.metrics] == [
        line["checkpoint_sha256"] for line in result.metrics
    ]
    gathered = train(run_config(**{**config.flat(), "gather": True}), out=tmp_path / "gathered")
    for a, b in zip(gathered.model.get_weights(), result.model.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-4)
    for ours, theirs in zip(gathered.metrics, result.metrics):
        assert ours["attackers"] == theirs["attackers"]
        assert {name: record.get("pruned") for name, record in ours["pruned"].items()} == {
            name: record.get("pruned") for name, record in theirs["pruned"].items()
        }


def test_an_exception_keeps_the_last_finished_round(tmp_path):
    def stop(line):
        if line["round"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run_config(**SMALL), out=tmp_path / "run", on_round=stop)
    directory = RunDirectory(tmp_path / "run")
    assert [line["round"] for line in directory.read_metrics()] == [1, 2]
    model = tf.keras.models.load_model(directory.model)
    for a, b in zip(model.get_weights(), directory.read_state().weights):
        np.testing.assert_array_equal(a, b)
    assert evaluate(directory.path).rounds == 2


def test_a_damaged_checkpoint_is_noticed(run, tmp_path):
    import shutil

    result, _ = run
    shutil.copytree(result.directory.path, tmp_path / "copy")
    copy = RunDirectory(tmp_path / "copy")
    content = bytearray(copy.checkpoint.read_bytes())
    copy.checkpoint.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        evaluate(copy.path)
    content[-3000] ^= 1
    copy.checkpoint.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read|it was changed"):
        evaluate(copy.path)
    np.savez(copy.checkpoint, finished=np.int64(4), weight_0000=np.zeros(3))
    with pytest.raises(UserError, match="does not fit"):
        evaluate(copy.path)
    np.savez(copy.checkpoint, other=np.zeros(3))
    with pytest.raises(UserError, match="cannot be read"):
        evaluate(copy.path)
    copy.checkpoint.unlink()
    with pytest.raises(UserError, match="no checkpoint"):
        evaluate(copy.path)


def test_a_torn_last_metrics_line_does_not_count(run, tmp_path):
    import shutil

    result, _ = run
    shutil.copytree(result.directory.path, tmp_path / "copy")
    copy = RunDirectory(tmp_path / "copy")
    lines = copy.metrics.read_bytes().splitlines(keepends=True)
    copy.metrics.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    assert [line["round"] for line in copy.read_metrics()] == [1, 2]
    assert evaluate(copy.path).rounds == 3
    for content in (b"", b"garbage", b"{}", lines[0]):
        copy.metrics.write_bytes(content)
        with pytest.raises(UserError, match="the checkpoint is of round 3"):
            evaluate(copy.path)
    copy.metrics.write_bytes(lines[0][:40] + b"\n" + lines[1])
    with pytest.raises(UserError, match="line 1 of .* is damaged"):
        evaluate(copy.path)


def test_every_writer_is_a_client_unless_a_number_is_asked_for(monkeypatch, rng):
    from tfunlearn.training import federation

    images = np.zeros((60, 28, 28, 1), np.uint8)
    labels = rng.integers(0, 10, 60).astype(np.int32)
    data = LabeledData(
        "femnist-digits",
        images,
        labels,
        images,
        labels,
        10,
        np.repeat(np.arange(12, dtype=np.int32), 5),
    )
    monkeypatch.setattr(federation, "load", lambda *given: data)
    made = Federation.of(run_config(dataset="femnist-digits", partition="writers"))
    assert len(made.clients) == made.config.data.clients == 12
    assert made.clients.sizes.tolist() == [5] * 12
    made = Federation.of(run_config(dataset="femnist-digits", partition="writers", clients=4))
    assert made.clients.sizes.tolist() == [15] * 4
    with pytest.raises(UserError, match="malicious: .*got 13"):
        Federation.of(run_config(dataset="femnist-digits", partition="writers", malicious=13))


def test_two_runs_cannot_share_a_folder(tmp_path):
    (tmp_path / "run").mkdir()
    first = new_run_directory(tmp_path / "run", "x", {"data_dir": "x", "model": "mlp"})
    with pytest.raises(UserError, match="in use already"):
        new_run_directory(tmp_path / "run", "x", {"data_dir": "x", "model": "mlp"})
    first.discard()
    assert list((tmp_path / "run").iterdir()) == []  # it existed before, so it is kept
    new_run_directory(tmp_path / "run", "x", {"data_dir": "x", "model": "mlp"})


def test_a_class_partition_can_leave_attackers_without_the_source_class():
    config = run_config(attack="label-flip", partition="classes", malicious=3, seed=1)
    federation = Federation.of(config)
    held = {
        k: set(federation.clients.labels[federation.clients.rows(k)].tolist()) for k in range(10)
    }
    expected = sum(
        np.sum(federation.clients.labels[federation.clients.rows(k)] == 1)
        for k in federation.malicious
    )
    assert all(len(labels) == 1 for labels in held.values())
    assert federation.poisoned_examples == expected


def test_setups_that_do_not_fit_leave_no_folder(tmp_path):
    for values, message in (
        (dict(source=10), "source: .*0 to 9; got 10"),
        (dict(attack="label-flip", target=-1), "target: .*0 to 9; got -1"),
        (dict(train_examples=5000), "train_examples: .*1437.*got 5000"),
        (dict(clients=2000), "clients: .*got 2000"),
        (dict(partition="writers"), "none"),
    ):
        with pytest.raises(UserError, match=message):
            train(run_config(**values), out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_used_and_impossible_folders_are_refused(tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="in use already"):
        new_run_directory(tmp_path / "used", "x", {})
    assert (tmp_path / "used" / "mine.txt").read_text() == "keep"
    with pytest.raises(UserError, match="cannot be written"):
        new_run_directory(tmp_path / "used" / "mine.txt" / "run", "x", {})
    with pytest.raises(UserError, match="in use already"):
        new_run_directory(tmp_path / "used" / "mine.txt", "x", {})


def test_default_names_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flat = {"data_dir": "x", "model": "mlp"}
    paths = [str(new_run_directory(None, "name", flat).path) for _ in range(3)]
    assert paths == ["runs/name", "runs/name-2", "runs/name-3"]


def test_mnist_with_a_users_model_that_has_dropout(shared_data, shared_models, tmp_path):
    config = run_config(
        dataset="mnist",
        data_dir=shared_data,
        train_examples=600,
        clients=3,
        rounds=2,
        model=str(shared_models / "lenet5_emnist_098.h5"),
        defense="flap",
        attack="label-flip",
    )
    result = train(config, out=tmp_path / "run")
    assert result.metrics[-1]["test_accuracy"] > 0.6
    assert result.metrics[0]["pruned"]["dense"]["candidates"]
