"""`tfunlearn prune` on the command line."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.local_training.stateless import is_keras_3
from tfunlearn.models import build_model


@pytest.fixture
def call(monkeypatch, tmp_path, typed):
    monkeypatch.chdir(tmp_path)
    build_model("lenet5", (28, 28, 1), 10).save("net.keras")
    return functools.partial(typed, "prune")


def test_table_and_file(call, tmp_path):
    code, out, err = call(
        "net.keras",
        "-o",
        "pruned.keras",
        "--filters",
        "0.01",
        "--pairs",
        "0.01",
        "--repeat",
        "2",
        "--dataset",
        "digits",
        "--bounds",
    )
    assert code == 0 and not err
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    assert rows["conv_1"][1:4] == ["filters", "6", "1"]  # a fifth of six, for any number of passes
    assert "limit     conv_1 may lose no more; --limit raises that" in out
    assert rows["dense_1"][1:4] == ["units", "120", "4"] and float(rows["dense_1"][4]) > 0
    assert rows["logits"][1:] == ["units", "10", "0", "-", "output", "layer"]
    assert re.search(r"accuracy  0\.\d{4} before, 0\.\d{4} after", out)
    assert "written   pruned.keras" in out and (tmp_path / "pruned.keras").is_file()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "Missing argument 'MODEL'"),
        (["net.keras"], "Missing option '-o'"),
        (["none.keras", "-o", "x.keras"], "model: no file none.keras"),
        (["bad.keras", "-o", "x.keras"], "model: bad.keras is not a Keras model that can be read"),
        (["folder", "-o", "x.keras"], "model: folder folder holds no SavedModel"),
        (
            ["net.keras", "-o", "net.keras"],
            "out: .*a new file.*got 'net.keras'",
        ),
        (["net.keras", "-o", "x"], "a file name that ends in .keras or .h5"),
        (["net.keras", "-o", "no/x.keras"], "a file in a folder that exists"),
        (["net.keras", "-o", "x.keras", "--filters", "1"], "filters: .*got 1.0"),
        (["net.keras", "-o", "x.keras", "--pairs", "-1"], "pairs: .*got -1.0"),
        (
            ["net.keras", "-o", "x.keras", "--pairs", "0", "--filters", "0"],
            "filters and pairs: .*got 0.0",
        ),
        (["net.keras", "-o", "x.keras", "--repeat", "0"], "repeat: .*got 0"),
        (["net.keras", "-o", "x.keras", "--repeat", "9" * 20], "a whole number from 1 to 10000"),
        (["net.keras", "-o", "link.keras"], "a new file; this one exists"),
        (["net.keras", "-o", "x.keras", "--score", "impakt"], "did you mean 'impact'"),
        (["net.keras", "-o", "x.keras", "--compat", "flip"], "did you mean 'flap'"),
        (
            ["net.keras", "-o", "x.keras", "--layer", "logits"],
            r"'logits' cannot be pruned \(output",
        ),
        (["net.keras", "-o", "x.keras", "--input-range", "1", "0"], "input_range"),
        (["net.keras", "-o", "x.keras", "--dataset", "digit"], "did you mean 'digits'"),
        (["flat.keras", "-o", "x.keras", "--dataset", "digits"], r"takes examples of \(8,\)"),
        (["small.keras", "-o", "x.keras"], "no layer with filters or unit pairs"),
    ],
)
def test_one_line_code_2_and_nothing_written(call, tmp_path, arguments, message):
    (tmp_path / "bad.keras").write_bytes(b"PK")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.keras").symlink_to("nowhere.keras")
    for name, hidden in (("small", []), ("flat", [tf.keras.layers.Dense(4)])):
        tf.keras.Sequential([tf.keras.layers.Input((8,)), *hidden, tf.keras.layers.Dense(2)]).save(
            f"{name}.keras"
        )
    before = {path.name: path.lstat().st_mtime_ns for path in tmp_path.iterdir()}
    code, out, err = call(*arguments)
    assert code == 2 and re.search(message, err) and err.count("\n") == 1 and not out
    assert {path.name: path.lstat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_file_that_comes_meanwhile_is_not_written_over(call, tmp_path, monkeypatch):
    save = tf.keras.Sequential.save

    def slow(self, path, **options):
        save(self, path, **options)
        (tmp_path / "x.keras").write_text("precious")

    monkeypatch.setattr(tf.keras.Sequential, "save", slow)
    code, _, err = call("net.keras", "-o", "x.keras")
    assert code == 2 and "created meanwhile" in err
    assert (tmp_path / "x.keras").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.keras", "x.keras"]


def test_pruning_ends_when_nothing_is_left(call):
    code, out, _ = call(
        "net.keras", "-o", "x.keras", "--repeat", "10000", "--filters", "0.5", "--pairs", "0.4"
    )
    assert code == 0
    code, out, _ = call("x.keras", "-o", "y.keras", "--pairs", "0")
    assert code == 0 and "pruned    nothing" in out


def test_long_names_stay_whole_in_a_pipe(call):
    name = "a_long_name_" * 6 + "end"
    tf.keras.Sequential(
        [tf.keras.layers.Input((8,)), tf.keras.layers.Dense(4, name=name), tf.keras.layers.Dense(2)]
    ).save("long.h5")
    _, out, _ = call("long.h5", "-o", "x.keras")
    assert any(line.split()[0] == name for line in out.splitlines())


def test_a_full_disk_is_our_failure_and_leaves_nothing(call, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "out.keras")

    monkeypatch.setattr(tf.keras.Sequential, "save", full)
    code, _, err = call("net.keras", "-o", "out.keras")
    assert code == 1 and err == "tfunlearn: out.keras: No space left on device\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.keras"]


@pytest.mark.skipif(is_keras_3(), reason="Keras 3 reads no SavedModel folder")
def test_a_savedmodel_folder_is_read(call):
    model = tf.keras.models.load_model("net.keras", compile=False)
    model.save("folder", save_format="tf")
    tf.saved_model.save(tf.Module(), "bare")
    code, out, _ = call("folder", "-o", "pruned.h5")
    assert code == 0 and "written   pruned.h5" in out
    pruned = tf.keras.models.load_model("pruned.h5", compile=False)
    assert any(np.any(a != b) for a, b in zip(model.get_weights(), pruned.get_weights()))
    code, _, err = call("bare", "-o", "x.keras")
    assert code == 2 and "a SavedModel that Keras did not write" in err
