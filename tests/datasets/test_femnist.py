"""FEMNIST, read from small databases in the published format."""

from __future__ import annotations

import importlib
import io
import lzma
import sqlite3
import sys
import urllib.error

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.datasets import load

# The package has a function of the same name, which hides the module.
module = importlib.import_module("tfunlearn.datasets.femnist")
FILE = module.FILE

TABLES = """
CREATE TABLE examples (
    split_name TEXT NOT NULL, client_id TEXT NOT NULL, serialized_example_proto BLOB);
CREATE TABLE client_metadata (
    client_id TEXT NOT NULL, split_name TEXT NOT NULL, num_examples INTEGER NOT NULL);
"""
INDICES = """
CREATE INDEX idx_examples_client_id ON examples (client_id);
CREATE INDEX idx_examples_client_id_split ON examples (split_name, client_id);
"""


def example(label=3, pixels=None, **others) -> bytes:
    """Return a serialized example."""
    pixels = np.ones((28, 28), np.float32) if pixels is None else pixels
    return proto(label=[label], pixels=np.ravel(pixels), **others)


def proto(**features) -> bytes:
    """Return a serialized `tf.train.Example` of whole numbers or floats by name."""
    made = {}
    for name, values in features.items():
        if np.issubdtype(np.asarray(values).dtype, np.integer):
            made[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        else:
            made[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


def write(path, rows, *, indices=True):
    """Write `(split, writer, serialized example)` rows, in this order, to a new database."""
    counts = {}
    for split, writer, _ in rows:
        counts[writer, split] = counts.get((writer, split), 0) + 1
    connection = sqlite3.connect(path)
    with connection:
        connection.executescript(TABLES + INDICES * indices)
        connection.executemany("INSERT INTO examples VALUES (?, ?, ?)", rows)
        connection.executemany(
            "INSERT INTO client_metadata VALUES (?, ?, ?)",
            [(*key, count) for key, count in counts.items()],
        )
    connection.close()
    return path


SPLITS = ("all_train", "all_test", "digits_only_train", "digits_only_test")


def random_rows(rng, writers=("f2", "f10", "F3", "é1"), count=60):
    """Return rows of all splits with the writers in random order, and other writers in digits."""
    rows = []
    for split in SPLITS:
        known = writers if split.startswith("all") else writers[:-1]
        classes = 62 if split.startswith("all") else 10
        drawn = [*known, *rng.choice(known, count - len(known))]
        for writer in rng.permutation(drawn):
            pixels = rng.random((28, 28), dtype=np.float32)
            rows.append((split, str(writer), example(int(rng.integers(classes)), pixels)))
    return rows


@pytest.fixture
def small(tmp_path):
    """A folder with one image per split and writer, two writers."""
    rows = [(split, writer, example()) for split in SPLITS for writer in ("f1", "f2")]
    write(tmp_path / FILE, rows)
    return tmp_path


def test_writers_are_sorted_and_keep_the_order_of_their_examples(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_federated", None)  # an import would fail
    corner, half = np.ones((2, 28, 28), np.float32)
    corner[0, 1] = 0.0
    half[:] = 0.5
    write(
        tmp_path / FILE,
        [
            ("all_train", "f2", example(61)),
            ("all_train", "f10", example(7)),
            ("all_test", "f2", example(1)),
            ("all_train", "f2", example(0, corner)),
            ("digits_only_train", "f2", example(9)),
            ("all_test", "f10", example(2, half)),
        ],
    )
    data = load("femnist", str(tmp_path))
    assert data.features.shape == (3, 28, 28, 1) and data.features.dtype == np.uint8
    assert data.labels.tolist() == [7, 61, 0] and data.labels.dtype == np.int32
    assert data.writers.tolist() == [0, 1, 1] and data.writers.dtype == np.int32
    assert data.test_labels.tolist() == [2, 1] and data.classes == 62
    assert np.flatnonzero(data.features).tolist() == [2 * 28 * 28 + 1]
    assert data.features[2, 0, 1, 0] == 255
    assert (data.test_features[0] == 128).all() and (data.test_features[1] == 0).all()


def test_digits_only_reads_splits_of_its_own(tmp_path):
    rows = [("all_train", "f1", example(40)), ("all_test", "f1", example(41))]
    rows += [("digits_only_train", "f2", example(4)), ("digits_only_test", "f2", example(5))]
    write(tmp_path / FILE, [*rows, ("all_train", "f2", example(4))])
    data = load("femnist-digits", str(tmp_path))
    assert data.labels.tolist() == [4] and data.test_labels.tolist() == [5] and data.classes == 10
    assert data.writers.tolist() == [0]
    assert load("femnist", str(tmp_path)).labels.tolist() == [40, 4]


def test_examples_stored_as_text_and_other_features_are_read(tmp_path):
    write(tmp_path / FILE, [(split, "f1", example(2)) for split in SPLITS])
    column = "serialized_example_proto"
    _changed(f"UPDATE examples SET {column} = CAST({column} AS TEXT)")(tmp_path / FILE)
    more = example(5, writer=[1])
    _changed("INSERT INTO examples VALUES ('all_train', 'f1', ?)", more)(tmp_path / FILE)
    assert load("femnist", str(tmp_path)).labels.tolist() == [2, 5]


def test_background_becomes_zero():
    pixels = np.array([[[1.0, 0.0, 0.5]]])
    assert module.like_mnist(pixels).ravel().tolist() == [0, 255, 128]


def arrays_of_tff(client_data):
    """Return images, labels and sizes as read through TFF, writers in sorted order."""
    images, labels = [], []
    for writer in sorted(client_data.client_ids):
        data_set = client_data.create_tf_dataset_for_client(writer).batch(100_000)
        columns = next(iter(data_set.as_numpy_iterator()))
        images.append(module.like_mnist(columns["pixels"]))
        labels.append(columns["label"])
    return np.concatenate(images), np.concatenate(labels), [len(part) for part in labels]


@pytest.mark.parametrize("indices", [True, False], ids=["indices", "no indices"])
@pytest.mark.parametrize("name", ["femnist", "femnist-digits"])
def test_arrays_equal_those_of_tff(tmp_path, rng, name, indices):
    tff = pytest.importorskip("tensorflow_federated")
    write(tmp_path / FILE, random_rows(rng), indices=indices)
    data = load(name, str(tmp_path))
    parts = tff.simulation.datasets.emnist.load_data(
        name == "femnist-digits", cache_dir=str(tmp_path)
    )
    images, labels, sizes = arrays_of_tff(parts[0])
    np.testing.assert_array_equal(data.features, images)
    np.testing.assert_array_equal(data.labels, labels)
    np.testing.assert_array_equal(data.writers, np.repeat(np.arange(len(sizes)), sizes))
    assert len(sizes) == (4 if name == "femnist" else 3)
    images, labels, _ = arrays_of_tff(parts[1])
    np.testing.assert_array_equal(data.test_features, images)
    np.testing.assert_array_equal(data.test_labels, labels)


def test_a_client_of_tff_becomes_like_mnist(tmp_path):
    tff = pytest.importorskip("tensorflow_federated")
    source = tff.simulation.datasets.emnist.get_synthetic()
    rows = [
        (split, writer, example(int(one["label"]), one["pixels"]))
        for split in SPLITS
        for writer in source.client_ids
        for one in source.create_tf_dataset_for_client(writer).as_numpy_iterator()
    ]
    write(tmp_path / FILE, rows)
    data = load("femnist-digits", str(tmp_path))
    assert data.features.shape == (20, 28, 28, 1) and data.features.dtype == np.uint8
    assert data.writers.tolist() == [0] * 10 + [1] * 10
    assert data.labels.tolist() == list(range(10)) * 2
    first = next(iter(source.create_tf_dataset_for_client("synthetic1")))["pixels"].numpy()
    np.testing.assert_array_equal(data.features[0, ..., 0], np.rint((1 - first) * 255))


def test_reading_leaves_folder_and_file_as_they_are(small, monkeypatch):
    content = (small / FILE).read_bytes()
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda *_, **__: pytest.fail("opened"))
    load("femnist", str(small))
    assert [path.name for path in small.iterdir()] == [FILE]
    assert (small / FILE).read_bytes() == content


def test_a_folder_with_signs_of_a_url_is_read(small):
    odd = small / "50% of ?mode=rw #é"
    odd.mkdir()
    (small / FILE).rename(odd / FILE)
    assert load("femnist", str(odd)).labels.tolist() == [3, 3]
    assert [path.name for path in small.iterdir()] == [odd.name]


def _changed(statement, *values):
    def change(path):
        connection = sqlite3.connect(path)
        with connection:
            connection.execute(statement, values)
        connection.close()

    return change


def _with_row(content):
    """Put one more example, of the last writer's training split, into the database."""
    return _changed("INSERT INTO examples VALUES ('all_train', 'f2', ?)", content)


def _cut(share):
    def change(path):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return change


def _nan():
    pixels = np.ones((28, 28), np.float32)
    pixels[3, 4] = np.nan
    return pixels


WHITE = np.ones(28 * 28)
DAMAGES = {
    "garbage": (lambda path: path.write_bytes(b"this is no database" * 100), "not a database"),
    "empty": (lambda path: path.write_bytes(b""), "no such table"),
    "a pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n"),
        "not a database",
    ),
    "cut in the middle": (_cut(0.5), "malformed"),
    "cut at the end": (_cut(0.99), "bytes in place of"),
    "no examples": (_changed("DROP TABLE examples"), "no such table: examples"),
    "no metadata": (_changed("DROP TABLE client_metadata"), "no such table: client_metadata"),
    "no column": (
        _changed("ALTER TABLE examples RENAME COLUMN serialized_example_proto TO example"),
        "no such column: serialized_example_proto",
    ),
    "no writers": (
        _changed("DELETE FROM client_metadata WHERE split_name LIKE '%test'"),
        "no writers in split all_test",
    ),
    "a writer without examples": (
        _changed("DELETE FROM examples WHERE client_id = 'f2'"),
        "writer f2 in split all_train: no examples",
    ),
    "pixels missing": (_with_row(proto(label=[1])), "writer f2 .*pixels"),
    "label missing": (_with_row(proto(pixels=WHITE)), "writer f2 .*label"),
    "label a float": (_with_row(proto(label=[1.0], pixels=WHITE)), "writer f2 .*label"),
    "two labels": (_with_row(proto(label=[1, 2], pixels=WHITE)), "writer f2 .*label"),
    "too few pixels": (_with_row(example(pixels=np.ones((27, 28)))), "writer f2 .*pixels"),
    "too many pixels": (_with_row(example(pixels=np.ones((28, 29)))), "writer f2 .*pixels"),
    "pixels not finite": (_with_row(example(pixels=_nan())), "writer f2 .*pixels.*finite"),
    "a label beyond the classes": (_with_row(example(62)), "labels: .*0 to 61"),
    "a label beyond 32 bits": (_with_row(example(1 << 32)), "labels: .*0 to 61"),
    "a proto that is none": (_with_row(b"\xff\xff\xff"), "writer f2 .*parse"),
    "a proto of text": (_with_row(b"no\nproto"), "writer f2 .*parse example input\\)"),
    "a proto cut short": (_with_row(example()[:-100]), "writer f2 .*parse"),
    "no proto": (_with_row(None), "writer f2 .*pixels|writer f2 .*label"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_database_is_told_from_a_missing_one(small, monkeypatch, damage):
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda *_, **__: pytest.fail("opened"))
    change, reason = DAMAGES[damage]
    change(small / FILE)
    content = (small / FILE).read_bytes()
    with pytest.raises(UserError, match=reason) as error:
        load("femnist", str(small))
    message = str(error.value)
    assert message.startswith(f"dataset: femnist is damaged: {small / FILE} (")
    assert f"remove {small / FILE} and fetch" in message
    assert "\n" not in message and "unknown" not in message and len(message) < 600
    assert [path.name for path in small.iterdir()] == [FILE]
    assert (small / FILE).read_bytes() == content


def test_a_folder_in_place_of_the_database_is_damage(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(UserError, match="femnist is damaged: "):
        load("femnist", str(tmp_path))


class _Response(io.BytesIO):
    """A response of the server that ends with an error after `error_at` bytes."""

    headers = {"content-length": "1000000"}

    def __init__(self, content, error=None, watched=None):
        super().__init__(content)
        self.error, self.watched = error, watched

    def read(self, size=-1):
        if self.watched is not None:
            assert not (self.watched / FILE).exists()
            self.names = [path.name for path in self.watched.iterdir()]
        block = super().read(size)
        if not block and self.error is not None:
            raise self.error
        return block


@pytest.mark.parametrize("kind", [lzma.FORMAT_ALONE, lzma.FORMAT_XZ])
def test_a_missing_file_is_downloaded_once_and_complete(small, monkeypatch, kind):
    content = (small / FILE).read_bytes()
    (small / "packed").write_bytes(lzma.compress(content, format=kind))
    monkeypatch.setattr(module, "URL", (small / "packed").as_uri())
    target = small / "new" / "folder"
    assert load("femnist", str(target)).labels.tolist() == [3, 3]
    assert (target / FILE).read_bytes() == content
    assert [path.name for path in target.iterdir()] == [FILE]
    (small / "packed").unlink()
    assert load("femnist-digits", str(target)).labels.tolist() == [3, 3]


def test_an_unfinished_download_has_another_name(small, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    answer = _Response(lzma.compress((small / FILE).read_bytes()), watched=folder)
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda *_, **__: answer)
    load("femnist", str(folder))
    assert len(answer.names) == 1 and answer.names != [FILE]
    assert [path.name for path in folder.iterdir()] == [FILE]


def _packed():
    return lzma.compress(np.random.default_rng(0).bytes(100_000), format=lzma.FORMAT_ALONE)


BROKEN = {
    "connection lost": lambda: _Response(_packed()[:50_000], OSError("connection lost")),
    "Compressed file ended": lambda: _Response(_packed()[:50_000]),
    "Compressed file ended before": lambda: _Response(b""),
    "not supported": lambda: _Response(b"<html>please log in</html>"),
    "no route to host": lambda: urllib.error.URLError("no route to host\nsecond line"),
    "HTTP Error 404": lambda: urllib.error.HTTPError("url", 404, "Not Found", {}, None),
    "No space left": lambda: _Response(_packed()[:10], OSError(28, "No space left on device")),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(tmp_path, monkeypatch, reason):
    def answer(*_, **__):
        made = BROKEN[reason]()
        if isinstance(made, Exception):
            raise made
        return made

    monkeypatch.setattr(module.urllib.request, "urlopen", answer)
    with pytest.raises(UserError, match=f"{reason}.*emnist_all.sqlite.lzma") as error:
        load("femnist", str(tmp_path))
    message = str(error.value)
    assert message.startswith(f"dataset: femnist is not under {tmp_path} and could not be")
    assert f"put it at {tmp_path / FILE}" in message and "\n" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stopped_download_leaves_nothing(tmp_path, monkeypatch, stop):
    answer = _Response(_packed()[:50_000], stop())
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda *_, **__: answer)
    with pytest.raises(stop):
        load("femnist", str(tmp_path))
    assert list(tmp_path.iterdir()) == []
