"""The data sets themselves."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.datasets import DATASETS, load, tfds_images


def test_digits_are_real_split_and_scaled():
    data = load("digits")
    assert data.features.shape == (1437, 28, 28, 1) and data.test_features.shape == (360, 28, 28, 1)
    assert (
        data.features.dtype == np.uint8 and data.features.max() == 255 and data.features.min() == 0
    )
    assert np.bincount(data.test_labels).min() >= 34 and data.classes == 10
    again = load("digits")
    np.testing.assert_array_equal(data.features, again.features)
    train = {image.tobytes() for image in data.features}
    assert sum(image.tobytes() in train for image in data.test_features) == 0


def test_scaling_keeps_corners_and_order():
    from sklearn.datasets import load_digits

    small = load_digits().images
    data = load("digits")
    corners = {tuple(np.rint(s[[0, 0, 7, 7], [0, 7, 0, 7]] * 255 / 16)) for s in small}
    assert all(tuple(i[[0, 0, 27, 27], [0, 27, 0, 27], 0]) in corners for i in data.features[:50])


def test_subset_is_drawn_from_the_data(rng):
    data = load("digits")
    part = data.subset(100, rng)
    assert part.features.shape == (100, 28, 28, 1) and part.test_features is data.test_features
    whole = {image.tobytes(): label for image, label in zip(data.features, data.labels)}
    assert all(whole[i.tobytes()] == label for i, label in zip(part.features, part.labels))


@pytest.mark.parametrize(
    "name, shape, train", [("mnist", (28, 28, 1), 60_000), ("cifar10", (32, 32, 3), 50_000)]
)
def test_tfds_data_on_disk_are_read(shared_data, monkeypatch, name, shape, train):
    monkeypatch.setattr(tfds_images, "_download", lambda *_: pytest.fail("tried to download"))
    data = load(name, shared_data)
    assert data.features.shape == (train, *shape) and data.test_features.shape == (10_000, *shape)
    assert data.features.dtype == np.uint8 and data.labels.dtype == np.int32
    assert sorted(set(data.labels.tolist())) == list(range(10)) and data.writers is None


class _Builder:
    """Stands in for a TFDS builder: 3 training and 2 test images of 2x2x1."""

    name, prepared = "emnist", True
    info = types.SimpleNamespace(
        splits={
            name: types.SimpleNamespace(num_examples=count)
            for name, count in (("train", 3), ("test", 2))
        }
    )

    def __init__(self, name, data_dir):
        self.data_dir = f"{data_dir}/emnist/letters/3.1.0"

    def is_prepared(self):
        return self.prepared

    def as_dataset(self, split, batch_size):
        count = {"train": 3, "test": 2}[split]
        images = np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2, 1)
        return {"image": images, "label": np.arange(1, count + 1)}

    def download_and_prepare(self):
        raise ConnectionError("no route to host\nsecond line")


def test_emnist_is_turned_upright_and_letters_count_from_zero(monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds, "builder", _Builder)
    monkeypatch.setattr(tfds, "as_numpy", lambda columns: columns)
    data = tfds_images.emnist_letters("somewhere")
    assert data.labels.tolist() == [0, 1, 2] and data.classes == 26
    assert data.features[0, ..., 0].tolist() == [[0, 2], [1, 3]]


@pytest.mark.parametrize(
    "name", [n for n in DATASETS if not n.startswith(("digits", "femnist", "breast", "wine"))]
)
def test_without_data_and_network_one_line_says_what_to_do(monkeypatch, name, tmp_path):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds, "builder", _Builder)
    monkeypatch.setattr(_Builder, "prepared", False)
    monkeypatch.setattr(tfds_images, "require_host", lambda url: None)
    with pytest.raises(UserError, match="--data-dir") as error:
        load(name, str(tmp_path))
    message = str(error.value)
    assert name in message and "no route to host" in message and "\n" not in message
    assert f"{tmp_path}/emnist/letters/3.1.0" in message


def test_an_unreachable_host_is_noticed_at_once(monkeypatch):
    monkeypatch.setattr(tfds_images.urllib.request, "getproxies", dict)
    with pytest.raises(OSError):
        tfds_images.require_host("http://nowhere.invalid/file")
    monkeypatch.setattr(tfds_images.urllib.request, "getproxies", lambda: {"http": "proxy"})
    tfds_images.require_host("http://nowhere.invalid/file")


@pytest.fixture
def small_mnist(tmp_path):
    """A folder with 20 + 20 images under the name of MNIST, as TFDS keeps them."""
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        path = str(folder / f"mnist-{split}.tfrecord-00000-of-00001")
        with tf.io.TFRecordWriter(path) as writer:
            for number in range(20):
                image = np.full((28, 28, 1), number, np.uint8)
                writer.write(
                    tf.train.Example(
                        features=tf.train.Features(
                            feature={
                                "image": tf.train.Feature(
                                    bytes_list=tf.train.BytesList(
                                        value=[tf.io.encode_png(image).numpy()]
                                    )
                                ),
                                "label": tf.train.Feature(
                                    int64_list=tf.train.Int64List(value=[number % 10])
                                ),
                            }
                        )
                    ).SerializeToString()
                )
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    (folder / "dataset_info.json").write_text(
        json.dumps(
            {
                "name": "mnist",
                "version": "3.0.1",
                "fileFormat": "tfrecord",
                "splits": [
                    {
                        "name": split,
                        "numBytes": "1",
                        "shardLengths": ["20"],
                        "filepathTemplate": template,
                    }
                    for split in ("train", "test")
                ],
            }
        )
    )
    return folder


def _cut(path):
    path.write_bytes(path.read_bytes()[:-70])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


def _shorten(path):
    """Leaves whole records, but fewer than there should be."""
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records[:7]:
            writer.write(record)


DAMAGES = {
    "cut": ("mnist-train.tfrecord-00000-of-00001", _cut),
    "flipped": ("mnist-test.tfrecord-00000-of-00001", _flip),
    "empty": ("mnist-train.tfrecord-00000-of-00001", lambda path: path.write_bytes(b"")),
    "missing": ("mnist-test.tfrecord-00000-of-00001", lambda path: path.unlink()),
    "shorter": ("mnist-test.tfrecord-00000-of-00001", _shorten),
    "a pointer": (
        "mnist-train.tfrecord-00000-of-00001",
        lambda path: path.write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
        ),
    ),
    "half a description": ("dataset_info.json", lambda path: path.write_text('{"name": "mn')),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(small_mnist, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(tfds_images, "_download", lambda *_: pytest.fail("tried to download"))
    assert load("mnist", str(tmp_path)).features[:, 0, 0, 0].tolist() == list(range(20))
    name, change = DAMAGES[damage]
    change(small_mnist / name)
    before = sorted(path.name for path in small_mnist.iterdir())
    with pytest.raises(UserError, match="dataset: mnist is damaged: ") as error:
        load("mnist", str(tmp_path))
    assert f"damaged: {small_mnist / name} (" in str(error.value)
    assert f"remove {tmp_path / 'mnist'}" in str(error.value) and "\n" not in str(error.value)
    assert sorted(path.name for path in small_mnist.iterdir()) == before


def test_labels_beyond_the_classes_are_damage(small_mnist, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="damaged: .*3.0.1 \\(labels: .* 0 to 4"):
        tfds_images._load("mnist", "mnist", str(tmp_path), classes=5)


def test_unknown_data_set():
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        load("mnst")
