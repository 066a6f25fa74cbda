"""Model files that every Keras has written, read by the one in use; files that carry code."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models.files import translate, weights
from tfunlearn.models.files.code import code_in
from tfunlearn.models.files.stored import keras_name, keras_numbers, read_stored
from tfunlearn.models.saved import allowing_code, load_model

layers = tf.keras.layers
FILES = pathlib.Path(__file__).parent / "files"
WRITTEN = sorted(path for path in FILES.glob("*/*") if path.suffix in (".keras", ".h5"))
IS_KERAS_3 = keras_numbers()[0] >= 3


def test_there_are_files_of_every_writer():
    nets = {
        "sequential",
        "functional",
        "batch_normalization",
        "group_normalization",
        "nested",
        "shared",
        "dropout",
    }
    writers = {path.parent.name for path in WRITTEN}
    assert writers == {
        "keras-2.13.1",
        "keras-2.14.0",
        "keras-2.15.0",
        "tf_keras-2.16.0",
        "tf_keras-2.21.0",
        "keras-3.0.0",
        "keras-3.15.1",
    }
    missing = {
        (writer, net + suffix) for writer in writers for net in nets for suffix in (".keras", ".h5")
    } - {(p.parent.name, p.name) for p in WRITTEN}
    assert missing == {("keras-3.0.0", "nested.h5")}  # which that Keras cannot write
    assert all(path.stat().st_size < 100_000 for path in WRITTEN)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_of_every_keras_are_read(path, tmp_path):
    known = np.load(path.with_suffix(".npz"))
    model = load_model(path)
    outputs = np.asarray(model(known["images"], training=False))
    np.testing.assert_allclose(outputs, known["outputs"], rtol=1e-6, atol=1e-6)
    assert read_stored(path).writer.split()[1] == path.parent.name.partition("-")[2]
    model.save(tmp_path / "again.keras")
    again = np.asarray(load_model(tmp_path / "again.keras")(known["images"], training=False))
    np.testing.assert_array_equal(again, outputs)


def recurrent():
    return tf.keras.Sequential(
        [
            tf.keras.Input((5,)),
            layers.Embedding(10, 4, mask_zero=True),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.GRU(3),
            layers.Dense(2),
        ]
    )


def attention():
    inputs = tf.keras.Input((5, 4))
    x = layers.Add()([inputs, layers.MultiHeadAttention(2, 3)(inputs, inputs)])
    return tf.keras.Model(inputs, layers.Dense(2)(layers.LayerNormalization()(x)))


def others():
    return tf.keras.Sequential(
        [
            tf.keras.Input((3, 6, 6, 1)),
            layers.TimeDistributed(layers.Conv2D(2, 3)),
            layers.PReLU(),
            layers.Reshape((12, 4, 2)),
            layers.Conv2DTranspose(2, 3, activation=layers.LeakyReLU()),
            layers.UpSampling2D(),
            layers.Flatten(),
            layers.Dense(2, activation="gelu"),
        ]
    )


def two_ends():
    a, b = tf.keras.Input((3,), name="a"), tf.keras.Input((4,), name="b")
    x = layers.Concatenate()([layers.Dense(3)(a), layers.Dense(2)(b)])
    return tf.keras.Model(
        {"a": a, "b": b}, {"p": layers.Dense(1, name="p")(x), "q": layers.Dense(2, name="q")(x)}
    )


def operators():
    x, y = tf.keras.Input((4,), name="a"), tf.keras.Input((4,), name="b")
    return tf.keras.Model({"a": x, "b": y}, layers.Dense(2)((x + y) * 2.0 - y / 3.0 - 1.0))


def twice():
    inputs = tf.keras.Input((4,))
    base = tf.keras.Sequential([tf.keras.Input((4,)), layers.Dense(4)], name="base")
    return tf.keras.Model(inputs, layers.Dense(2)(base(base(inputs))))


def adapted():
    norm = layers.Normalization()
    norm.adapt(np.linspace(0, 7, 80, dtype=np.float32).reshape(20, 4))
    return tf.keras.Sequential([tf.keras.Input((4,)), norm, layers.Dense(2)])


def frozen():
    inputs = tf.keras.Input((6, 6, 1))
    base = tf.keras.Sequential(
        [
            tf.keras.Input((6, 6, 1)),
            layers.Conv2D(2, 3),
            layers.BatchNormalization(),
            layers.Conv2D(2, 3),
        ],
        name="base",
    )
    base.layers[0].trainable = False
    return tf.keras.Model(inputs, layers.Dense(2)(layers.Flatten()(base(inputs, training=False))))


@pytest.mark.parametrize(
    "make, suffix",
    [
        (make, ".h5" if number % 2 else ".keras")
        for number, make in enumerate(
            (recurrent, attention, others, two_ends, operators, twice, adapted, frozen)
        )
    ]
    + [(attention, ".keras"), (operators, ".h5")],
)
def test_a_translation_into_the_same_keras_changes_nothing(make, suffix, tmp_path):
    tf.keras.utils.set_random_seed(0)
    model, path = make(), tmp_path / f"net{suffix}"
    model.save(path)
    stored = read_stored(path)
    again = translate.build(stored.config)
    weights.fill(again, stored)
    inputs = [
        np.random.default_rng(0).integers(0, 9, (2, *tensor.shape[1:])).astype(np.float32)
        for tensor in model.inputs
    ]
    named = dict(zip("ab", inputs)) if len(inputs) > 1 else inputs[0]
    ours, theirs = (tf.nest.flatten(net(named, training=False)) for net in (again, model))
    for own, right in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, right, rtol=1e-6, atol=1e-6)
    assert [w.trainable for w in again.weights] == [w.trainable for w in model.weights]


def other_writer():
    """A folder of files that the Keras in use has to translate."""
    return FILES / ("keras-2.15.0" if IS_KERAS_3 else "keras-3.15.1")


def changed(path, target, change):
    """Copies a `.keras` file, its configuration changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return target


def set_class(config):
    config["config"]["layers"][1]["class_name"] = "Conv7D"


def set_setting(config):
    config["config"]["layers"][1]["config"]["twist"] = 3


def set_regularizer(config):
    config["config"]["layers"][1]["config"]["kernel_regularizer"] = {
        "class_name": "Soft",
        "config": {},
        "module": "keras.regularizers",
    }


def drop_layer(config):
    del config["config"]["layers"][4]


def set_function(config):
    config["config"]["layers"][1]["config"]["activation"] = "hard_sigmoid"


@pytest.mark.parametrize(
    "change, message",
    [
        (set_function, "hard_sigmoid, which is another one under Keras 2 than under Keras 3"),
        (set_class, "layer 'conv2d[_0-9]*' is a Conv7D, which it does not have"),
        (set_setting, "has the setting twist=3, which it does not know"),
        (set_regularizer, "has kernel_regularizer=Soft, which it does not have"),
        (drop_layer, "layer 'dense[_0-9]*' has weights of shapes"),
    ],
)
def test_what_cannot_be_translated_is_refused_with_both_keras_named(tmp_path, change, message):
    path = changed(other_writer() / "sequential.keras", tmp_path / "odd.keras", change)
    with pytest.raises(UserError, match=message) as error:
        load_model(path)
    text, writer = str(error.value), read_stored(path).writer
    assert f"it was written by {writer}, this is {keras_name()} (" in text and "\n" not in text
    assert f"run this command where {writer} is installed" in text


def test_torn_and_other_files_are_refused_in_one_line(tmp_path):
    whole = (other_writer() / "nested.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("cut.keras", "can be read"),
        ("text.h5", "can be read"),
        ("weights.h5", "weights without a model"),
        ("none.h5", "no file"),
        ("empty", "holds no SavedModel"),
    ):
        with pytest.raises(UserError, match=message) as error:
            load_model(tmp_path / name)
        assert "\n" not in str(error.value)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path = other_writer() / "sequential.h5"
    shutil.copy(path, tmp_path / "odd.h5")
    with h5py.File(tmp_path / "odd.h5", "a") as file:
        name = next(name for name in file["model_weights"] if name.startswith("conv2d"))
        del file["model_weights"][name]
        file["model_weights"].create_group(name).attrs["weight_names"] = []
    with pytest.raises(UserError, match=f"layer '{name}' has weights of shapes"):
        load_model(tmp_path / "odd.h5")


MARK = """
import pathlib, sys
import tensorflow as tf
layers = tf.keras.layers
folder, marker = sys.argv[1:]
model = tf.keras.Sequential([
    layers.Input((3,)), layers.Lambda(eval(
        f"lambda x: (__import__('pathlib').Path({marker!r}).touch(), x)[1]"), name="mark"),
    layers.Dense(2)])
model.save(folder + "/net.keras")
model.save(folder + "/net.h5")
try:
    model.save(folder + "/net", save_format="tf")
except (TypeError, ValueError):  # Keras 3 writes none
    pass
"""


@pytest.fixture(scope="module")
def carriers(tmp_path_factory):
    """Files of a net with a Lambda that leaves a marker when it runs, and the marker."""
    folder = tmp_path_factory.mktemp("carriers")
    subprocess.run(
        [sys.executable, "-c", MARK, folder, folder / "marker"], check=True, capture_output=True
    )
    (folder / "marker").unlink()
    return folder


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net"])
def test_files_that_carry_code_are_refused_before_it_runs(carriers, name):
    path, marker = carriers / name, carriers / "marker"
    if not path.exists():
        pytest.skip("this Keras writes no SavedModel folders")
    with pytest.raises(UserError, match="carries code: 'mark' is a Lambda layer.*--allow-code"):
        load_model(path)
    with allowing_code(), pytest.raises(UserError, match="carries code"):
        load_model(path, allow_code=False)
    assert not marker.exists()
    model = load_model(path, allow_code=True)
    assert marker.exists() and model.count_params() == 8
    with allowing_code():
        assert load_model(path).count_params() == 8
    marker.unlink()
    with pytest.raises(UserError, match="carries code"):
        load_model(path)


def test_folders_without_code_are_read_without_their_program(tmp_path):
    if IS_KERAS_3:
        pytest.skip("this Keras writes no SavedModel folders")
    model = load_model(FILES / "keras-2.14.0" / "batch_normalization.keras")
    model.save(tmp_path / "folder", save_format="tf")
    read = load_model(tmp_path / "folder")
    for own, theirs in zip(read.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, theirs)


@pytest.mark.parametrize(
    "entry, kind",
    [
        ({"class_name": "Lambda", "config": {"name": "a"}}, "Lambda"),
        (
            {
                "class_name": "Own",
                "config": {},
                "module": "somewhere.else",
                "registered_name": "p>Own",
            },
            "the object Own of the Python module somewhere.else",
        ),
        (
            {
                "class_name": "Dense",
                "config": {"activation": {"class_name": "__lambda__", "config": {}}},
            },
            "Python code",
        ),
        ({"class_name": "TFOpLambda", "config": {"function": "io.read_file"}}, "io.read_file"),
        (
            {"class_name": "TFSMLayer", "config": {"filepath": "x"}, "module": "keras.layers"},
            "TFSMLayer",
        ),
        ({"class_name": "Lambda", "config": {}, "registered_name": "Custom>Adam"}, "Lambda"),
        ({"class_name": "function", "config": "print", "module": "builtins"}, "the function print"),
        ({"class_name": "get_file", "config": {}, "module": "keras.utils"}, "the object get_file"),
        ({"class_name": "deserialize", "config": {}, "module": "keras.layers"}, "deserialize"),
    ],
)
def test_all_kinds_of_code_are_found_at_any_depth(entry, kind):
    for config in (
        entry,
        {
            "class_name": "Sequential",
            "config": {"layers": [{"class_name": "Wrapper", "config": {"layer": entry}}]},
        },
    ):
        assert any(kind in found for _, found in code_in(config))


def test_losses_and_metrics_of_a_compiled_model_are_not_loaded(tmp_path):
    model = tf.keras.Sequential([layers.Input((3,)), layers.Dense(2)])
    model.compile("adam", lambda y, p: tf.reduce_mean(y - p))
    for name in ("own.h5", "own.keras"):
        model.save(tmp_path / name)
        assert load_model(tmp_path / name).count_params() == 8


@pytest.mark.parametrize("path", WRITTEN[::13], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_keras_own_layers_are_no_code(path):
    assert list(code_in(read_stored(path).config)) == []


def test_layers_that_the_program_has_registered_are_its_own(tmp_path):
    @tf.keras.utils.register_keras_serializable("tests")
    class Twice(layers.Layer):
        def call(self, x):
            return 2 * x

    model = tf.keras.Sequential([layers.Input((3,)), Twice(), layers.Dense(2)])
    for name in ("own.keras", "own.h5"):
        model.save(tmp_path / name)
        x = np.ones((1, 3), np.float32)
        np.testing.assert_array_equal(load_model(tmp_path / name)(x), model(x))
