"""Resuming of interrupted or damaged runs, two processes at once, and a full disk."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum, keep_as, locked
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import Watch, resume_unlearning, unlearn, unlearn_settings
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.sweeps.sweep import read_sweep
from tfunlearn.training.engine import changes_since, engine_notes
from tfunlearn.training.resume import resume_training
from tfunlearn.workflows.evaluate.evaluate import evaluate

SMALL = dict(
    train_examples=150,
    clients=4,
    rounds=4,
    attack="label-flip",
    malicious=1,
    history="last",
    rule="centered-clipping",
    clip=1.0,
)


class Stop(Exception):
    """Exception that interrupts a run."""


def stop_after(number):
    def stop(line):
        if line["round"] == number:
            raise Stop

    return stop


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run, whose rule uses the previous aggregate."""
    return train(run_config(**SMALL), out=tmp_path_factory.mktemp("whole") / "run").directory


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def lines_of(directory):
    return [
        {name: value for name, value in line.items() if "seconds" not in name}
        for line in directory.read_metrics()
    ]


def resumed(directory):
    """Resume; return the round that was resumed from and the damaged files."""
    begun, damaged = [], []
    resume_training(
        directory.path, on_damage=damaged.append, on_start=lambda *found: begun.append(found[-1])
    )
    return begun[0], damaged


def test_a_stopped_run_goes_on_to_the_same_bits(whole, tmp_path):
    with pytest.raises(Stop):
        train(run_config(**SMALL), out=tmp_path / "run", on_round=stop_after(2))
    directory = RunDirectory(tmp_path / "run")
    assert resumed(directory) == (2, [])
    assert checksum(directory.checkpoint) == checksum(whole.checkpoint)
    assert lines_of(directory) == lines_of(whole) and directory.curves.is_file()
    assert resumed(directory) == (4, [])  # nothing remains to do


@pytest.mark.parametrize(
    "damage, goes_on, words",
    [
        (lambda d: os.truncate(d.checkpoint, 1000), 3, "checkpoint.npz cannot be read"),
        (lambda d: d.checkpoint.write_bytes(b""), 3, "checkpoint.npz cannot be read"),
        (lambda d: d.checkpoint.unlink(), 3, None),
        (lambda d: d.checkpoint.write_bytes(d.previous.read_bytes()[::-1]), 3, "cannot be read"),
        (lambda d: os.truncate(d.metrics, d.metrics.stat().st_size - 5), 3, "line 4 of .*is torn"),
        (lambda d: os.truncate(d.model, 100), 4, None),
        (lambda d: d.curves.unlink(), 4, None),
        (lambda d: os.truncate(d.previous, 10), 4, None),
    ],
)
def test_what_is_torn_is_named_and_made_anew(whole, copy, damage, goes_on, words):
    damage(copy)
    begun, damaged = resumed(copy)
    assert begun == goes_on and len(damaged) == (words is not None)
    assert all(re.search(words, found) for found in damaged)
    assert checksum(copy.checkpoint) == checksum(whole.checkpoint)
    assert lines_of(copy) == lines_of(whole) and copy.curves.is_file()
    assert (
        evaluate(copy.path).measured["test_accuracy"] == whole.read_metrics()[-1]["test_accuracy"]
    )


def test_a_checkpoint_of_another_run_is_not_taken(copy, tmp_path):
    other = train(run_config(**SMALL, seed=1), out=tmp_path / "other").directory
    shutil.copy(other.checkpoint, copy.checkpoint)
    begun, damaged = resumed(copy)
    assert begun == 3 and "is not the file that metrics.jsonl names for round 4" in damaged[0]


def test_without_a_good_checkpoint_it_says_how_to_begin_anew(copy):
    for path in (copy.checkpoint, copy.previous):
        path.write_bytes(b"torn")
    before = copy.metrics.read_bytes()
    with pytest.raises(
        UserError,
        match="4 whole lines of metrics but no good checkpoint of them "
        ".*checkpoint.npz cannot be read",
    ):
        resume_training(copy.path)
    assert copy.metrics.read_bytes() == before


@pytest.mark.parametrize("lines", [0, 2])
def test_lost_metrics_are_not_trained_over(copy, lines):
    kept = copy.metrics.read_bytes().splitlines(keepends=True)[:lines]
    copy.metrics.write_bytes(b"".join(kept))
    before = checksum(copy.checkpoint)
    with pytest.raises(UserError, match="checkpoint.npz is of round 4; previous.npz is of round 3"):
        resume_training(copy.path)
    assert checksum(copy.checkpoint) == before


def test_torn_before_the_first_line_it_begins_at_the_start(whole, copy):
    copy.metrics.unlink()
    for path in (copy.checkpoint, copy.previous):
        path.write_bytes(b"torn")
    begun, damaged = resumed(copy)
    assert begun == 0 and len(damaged) == 2
    assert checksum(copy.checkpoint) == checksum(whole.checkpoint)
    assert lines_of(copy) == lines_of(whole) and copy.previous.exists()


@pytest.mark.parametrize("times", [1, 2, 3])
def test_stops_between_checkpoint_and_line_one_after_another(whole, tmp_path, monkeypatch, times):
    """Each interruption leaves a checkpoint without metrics line; the previous one must be kept."""
    append_metrics, stops = RunDirectory.append_metrics, []

    def stop(self, line):
        if self.read_metrics() and len(stops) < times:
            stops.append(1)
            raise Stop
        append_metrics(self, line)

    monkeypatch.setattr(RunDirectory, "append_metrics", stop)
    with pytest.raises(Stop):
        train(run_config(**SMALL), out=tmp_path / "run")
    directory = RunDirectory(tmp_path / "run")
    for _ in range(times - 1):
        with pytest.raises(Stop):
            resume_training(directory.path)
    assert resumed(directory) == (1, []) and len(stops) == times
    assert checksum(directory.checkpoint) == checksum(whole.checkpoint)
    assert lines_of(directory) == lines_of(whole)


def test_an_unlearned_run_is_never_trained_on(whole, copy, tmp_path):
    done = unlearn(
        copy.path, unlearn_settings(method="finetune", reference=False, recovery_rounds=1)
    ).directory
    before = checksum(done.checkpoint)
    for name in ("request.json", None):
        with pytest.raises(UserError, match="must be a run of train.*which was unlearned"):
            resume_training(done.path)
        if name:
            (done.path / name).unlink()
    assert checksum(done.checkpoint) == before


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda d, other: os.truncate(d.checkpoint, 500), "checkpoint.npz is torn"),
        (
            lambda d, other: shutil.copy(other.model, d.model),
            "model.keras is torn or not the model",
        ),
        (lambda d, other: os.truncate(d.model, 500), "model.keras is torn or not the model"),
    ],
)
def test_a_finished_unlearning_is_mended_where_it_lies(whole, copy, tmp_path, damage, words):
    unlearn(copy.path, unlearn_settings(method="finetune", reference=False, recovery_rounds=1))
    moved = RunDirectory(tmp_path / "moved")
    shutil.move(tmp_path / "run-finetune", moved.path)
    digest, seen = checksum(moved.checkpoint), []
    damage(moved, copy)
    with pytest.raises(UserError):
        evaluate(moved.path)
    resume_unlearning(moved.path, watch=Watch(damage=seen.append))
    assert len(seen) == 1 and words in seen[0] and checksum(moved.checkpoint) == digest
    assert evaluate(moved.path).rounds == 1
    assert not (tmp_path / "run-finetune").exists()
    for path in (moved.checkpoint, moved.model):
        os.truncate(path, 500)
    with pytest.raises(UserError, match="remove the run and unlearn again"):
        resume_unlearning(moved.path)


def test_an_exchanged_model_is_noticed_and_mended(whole, copy, tmp_path):
    other = train(run_config(**SMALL, seed=1), out=tmp_path / "other").directory
    shutil.copy(other.model, copy.model)
    with pytest.raises(UserError, match="model.keras is not the model of .*; tfunlearn resume"):
        evaluate(copy.path)
    resumed(copy)
    assert evaluate(copy.path).rounds == 4


def test_unlearning_from_a_run_that_is_not_done(copy, tmp_path):
    settings = unlearn_settings(method="finetune", reference=False, recovery_rounds=1)
    with copy.locked():
        with pytest.raises(UserError, match="another process is writing to"):
            unlearn(copy.path, settings)
    with pytest.raises(Stop):
        train(run_config(**SMALL), out=tmp_path / "part", on_round=stop_after(2))
    with pytest.warns(UserWarning, match="part has 2 of 4 rounds; tfunlearn resume"):
        unlearn(tmp_path / "part", settings)


def test_files_of_rounds_that_do_not_stay_go_when_a_killed_run_is_resumed(tmp_path):
    with pytest.raises(Stop):
        train(run_config(**SMALL), out=tmp_path / "run", on_round=stop_after(2))
    directory = RunDirectory(tmp_path / "run")
    kept = directory.history / "round_00002.npz"
    shutil.copy(kept, directory.history / "round_00001.npz")  # as left by a kill
    resumed(directory)
    assert [path.name for path in directory.history.iterdir()] == ["round_00004.npz"]


def test_readers_name_the_torn_file_and_what_mends_it(copy):
    os.truncate(copy.checkpoint, 1000)
    with pytest.raises(UserError, match="checkpoint.npz cannot be read .*; tfunlearn resume .*run"):
        evaluate(copy.path)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(lr=0.5), "config.json was changed"),
        (dict(rounds=9), "config.json was changed"),
        (dict(seed=5), "config.json was changed"),
        (dict(model="mlp"), "config.json was changed"),
        (dict(seed=5, content_sha256=None), "partition.npz does not match"),
        (dict(model="mlp", content_sha256=None), "does not fit the model"),
        (dict(data_dir="/elsewhere"), None),
    ],
)
def test_a_changed_configuration_is_noticed(copy, change, message):
    config = json.loads(copy.config.read_text())
    copy.config.write_text(json.dumps({**config, **change}))
    if message is None:
        assert resumed(copy)[0] == 4
        return
    before = checksum(copy.checkpoint)
    with pytest.raises(UserError, match=message):
        resume_training(copy.path)
    assert checksum(copy.checkpoint) == before


def test_other_versions_are_told_and_recorded(tmp_path):
    """Also what ran since a resume under others, so that going back is told too."""
    with pytest.raises(Stop):
        train(run_config(**SMALL), out=tmp_path / "run", on_round=stop_after(2))
    copy = RunDirectory(tmp_path / "run")
    config = json.loads(copy.config.read_text())
    config["versions"]["tensorflow"] = "1.0"
    copy.config.write_text(json.dumps(config))
    (told,) = resumed(copy)[1]
    assert told.startswith("other versions or settings than in the rounds before")
    assert told.endswith(f": tensorflow {tf.__version__} instead of 1.0")
    after = json.loads(copy.config.read_text())
    (continued,) = after.pop("continued")
    assert after == config and continued["from_round"] == 3
    assert continued["versions"]["tensorflow"] == tf.__version__
    assert continued["compute"]["engine"] == config["compute"]["engine"]

    assert resumed(copy) == (4, [])  # it can be read, and nothing is left to run
    assert evaluate(copy.path).rounds == 4

    stored, own = {**after, "continued": [continued]}, run_config(**SMALL)
    assert changes_since(stored, own, 3) == [] and changes_since(stored, own, 0) == []
    assert engine_notes(own, stored, 3)["continued"] == [continued]
    assert "continued" not in engine_notes(own, stored, 0)
    other = [f"tensorflow {tf.__version__} instead of 1.0"]
    assert changes_since(stored, own, 2) == other  # the rounds under this one were not finished
    assert engine_notes(own, stored, 2)["continued"] == [continued]
    back = {**continued, "from_round": 4, "versions": config["versions"]}
    assert changes_since({**stored, "continued": [continued, back]}, own, 4) == other
    assert changes_since({**stored, "continued": [continued, back]}, own, 3) == []


def test_a_second_process_on_one_run_is_refused(tmp_path):
    refused = []

    def again(line):
        with pytest.raises(UserError, match="another process is writing to .*run; wait for it"):
            resume_training(tmp_path / "run")
        with pytest.raises(UserError, match="in use already"):
            train(run_config(**SMALL), out=tmp_path / "run")
        refused.append(line["round"])

    train(run_config(**SMALL), out=tmp_path / "run", on_round=again)
    assert refused == [1, 2, 3, 4]


def test_a_lock_ends_with_its_block_and_never_outlives_its_file(tmp_path):
    path = tmp_path / "lock"
    with locked(path, "busy"):
        with pytest.raises(UserError, match="busy"), locked(path, "busy"):
            pass
        path.unlink()
    with locked(path, "busy"):
        pass


def test_a_second_name_replaces_the_first(tmp_path):
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    keep_as(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").write_text("newer")
    os.replace(tmp_path / "c", tmp_path / "a")
    assert (tmp_path / "b").read_text() == "new" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "method, knobs",
    [
        ("memorization", dict(ratio=0.3)),
        ("fedosd", {}),
        ("ablation-channel", {}),
        ("cdp", dict(forget=["class:2"])),
        ("not", {}),
        ("retrain", {}),
        ("rapid-retrain", {}),
        ("federaser", {}),
    ],
)
def test_every_kind_of_unlearning_goes_on_to_the_same_bits(whole, tmp_path, method, knobs):
    """Interrupted after every round in turn; the method's report is the same too."""
    if method == "federaser":
        train(run_config(**{**SMALL, "history": "all"}), out=tmp_path / "run")
    else:
        shutil.copytree(whole.path, tmp_path / "run")
    rounds = dict(recovery_rounds=2) if method not in ("retrain", "federaser") else {}
    settings = unlearn_settings(method=method, reference=False, **rounds, **knobs)
    expected = unlearn(tmp_path / "run", settings, out=tmp_path / "expected")
    shutil.move(tmp_path / "expected", tmp_path.parent / f"{tmp_path.name}-aside")
    for number in range(1, len(expected.metrics) + 1):
        with pytest.raises(Stop):
            unlearn(tmp_path / "run", settings, watch=Watch(round=stop_after(number)))
    seen = []
    found = resume_unlearning(
        tmp_path / f"run-{method}",
        watch=Watch(resume=lambda left: seen.append(len(left.lines)), round=seen.append),
    )
    assert seen == [len(expected.metrics)] and found.new
    for name in ("report", "measured", "recovered", "rounds", "checkpoint_sha256"):
        assert found.notes[name] == expected.notes[name], name
    timeless = [
        {n: v for n, v in run.notes["cost"].items() if "seconds" not in n}
        for run in (found, expected)
    ]
    assert timeless[0] == timeless[1]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    shutil.rmtree(tmp_path.parent / f"{tmp_path.name}-aside")


def test_other_versions_in_an_unlearning_are_told_and_recorded(whole, tmp_path, monkeypatch):
    shutil.copytree(whole.path, tmp_path / "run")
    settings = unlearn_settings(method="not", reference=False, recovery_rounds=2)
    with monkeypatch.context() as patch:
        patch.setattr("tfunlearn.training.engine.versions_of", lambda _: {"tensorflow": "1.0"})
        with pytest.raises(Stop):
            unlearn(tmp_path / "run", settings, watch=Watch(round=stop_after(1)))
    told = []
    found = resume_unlearning(
        tmp_path / "run-not", watch=Watch(resume=lambda left: told.extend(left.damaged))
    )
    (words,) = told
    assert words.endswith(f"bits may differ: tensorflow {tf.__version__} instead of 1.0")
    config = json.loads(found.directory.config.read_text())
    (continued,) = config["continued"]
    assert config["versions"] == {"tensorflow": "1.0"} and continued["from_round"] == 2
    assert continued["versions"]["tensorflow"] == tf.__version__
    assert evaluate(found.directory.path).rounds == 2  # it can be read


def test_waiting_is_gone_on_with_and_what_came_after_it_begins_anew(whole, tmp_path):
    train(run_config(**{**SMALL, "clients": 6, "train_examples": 180}), out=tmp_path / "run")
    first = dict(method="fedup", reference=False, fraction=0.1, stop="rounds", recovery_rounds=1)
    unlearn(tmp_path / "run", unlearn_settings(**first))
    source = tmp_path / "run-fedup"
    (gone,) = json.loads((source / "unlearning.json").read_text())["forgotten"]["clients"]
    again = unlearn_settings(
        **{**first, "recovery_rounds": 2}, forget=[f"client:{(gone + 1) % 6}"], rate_limit=3
    )
    ends = []
    for name in ("a", "b"):
        stops = (1, 3) if name == "b" else ()
        for number in stops:
            with pytest.raises(Stop):
                unlearn(source, again, out=tmp_path / name, watch=Watch(round=stop_after(number)))
        ends.append(unlearn(source, again, out=tmp_path / name))
        assert ends[-1].notes["waited_rounds"] == 2
        shutil.move(tmp_path / name, tmp_path.parent / f"{tmp_path.name}-{name}")
    assert ends[0].notes["checkpoint_sha256"] == ends[1].notes["checkpoint_sha256"]
    for name in ("a", "b"):
        shutil.rmtree(tmp_path.parent / f"{tmp_path.name}-{name}")


def test_a_damaged_unfinished_unlearning_begins_anew(whole, copy, tmp_path):
    settings = unlearn_settings(method="not", reference=False, recovery_rounds=2)
    with pytest.raises(Stop):
        unlearn(copy.path, settings, watch=Watch(round=stop_after(2)))
    (begun,) = [path for path in tmp_path.iterdir() if path.name.startswith(".run-not")]
    for name in ("checkpoint.npz", "previous.npz"):
        (begun / name).write_bytes(b"torn")
    (begun / "left.json").write_text("{")
    assert unlearn(copy.path, settings).notes["rounds"] == 2
    request = tmp_path / "run-not" / "request.json"
    request.write_text("[]")
    with pytest.raises(UserError, match="request.json is damaged"):
        resume_unlearning(tmp_path / "run-not")


def test_a_sweep_of_an_older_version_is_named(tmp_path):
    (tmp_path / "sweep.json").write_text(json.dumps({"sweep": 1, "title": "x"}))
    with pytest.raises(UserError, match="holds no readable grid .*tfunlearn sweep CONFIG"):
        read_sweep(tmp_path)


@pytest.fixture
def full_disk(tmp_path):
    """`(megabytes) -> folder` on a file system of that size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], capture_output=True
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, free):
    """Fill the disk up to the given number of free bytes."""
    room = os.statvfs(folder)
    with open(folder / "ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - free)


@pytest.mark.parametrize("free", [0, 200_000, 400_000, 600_000])
def test_a_full_disk_loses_nothing(whole, full_disk, free):
    """Holds for whichever of a round's files does not fit."""

    def fill_after(line):
        if line["round"] == 2:
            fill(full_disk, free)

    with pytest.raises(OSError) as raised:
        train(run_config(**SMALL), out=full_disk / "run", on_round=fill_after)
    assert raised.value.errno == errno.ENOSPC and raised.value.filename
    directory = RunDirectory(full_disk / "run")
    assert evaluate(directory.path).rounds in (2, 3)  # a checkpoint may lack its metrics line
    assert not [
        path
        for path in directory.path.iterdir()
        if path.name.startswith(".") and path != directory.lock
    ]
    (full_disk / "ballast").unlink()
    assert resumed(directory)[0] == 2
    assert checksum(directory.checkpoint) == checksum(whole.checkpoint)
    np.testing.assert_array_equal(directory.read_state().weights[0], whole.read_state().weights[0])
