"""Every model: parameters, outputs, names, seeds; and the user's own files."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models import MODELS, build_model
from tfunlearn.models.initial import redrawn
from tfunlearn.models.outputs import gives_probabilities

layers = tf.keras.layers
GREY, COLOUR = (28, 28, 1), (32, 32, 3)


@pytest.mark.parametrize(
    "name, shape, parameters, trainable",
    [
        ("mlp", GREY, 575_050, 575_050),
        ("lenet5", GREY, 44_426, 44_426),
        ("resnet18", COLOUR, 11_183_562, 11_173_962),
        ("resnet18-flap", GREY, 324_330, 322_954),
        ("resnet18-flap", COLOUR, 373_770, 372_394),
        ("resnet20", COLOUR, 274_442, 273_066),
        ("vgg11", COLOUR, 9_236_618, 9_231_114),
    ],
)
def test_parameter_counts(name, shape, parameters, trainable):
    model = build_model(name, shape, 10)
    assert model.count_params() == parameters
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == trainable


@pytest.mark.parametrize("name", MODELS)
def test_declared_sizes(name):
    kinds = {"tokens": ((64,), dict(vocabulary=5000))}
    shapes = [kinds["tokens"]] if MODELS[name].takes == "tokens" else [(GREY, {}), (COLOUR, {})]
    built = (build_model(name, shape, 10, **more).count_params() for shape, more in shapes)
    assert MODELS[name].sizes == tuple(built)


def example_of(name):
    """Returns shape, further arguments and two examples of what a model takes."""
    rng = np.random.default_rng(0)
    if MODELS[name].takes == "tokens":
        return (12,), dict(vocabulary=50), rng.integers(0, 50, (2, 12)).astype(np.int32)
    return GREY, {}, rng.random((2, *GREY), np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_contract(name):
    shape, more, inputs = example_of(name)
    model = build_model(name, shape, 7, seed=3, **more)
    assert model(inputs).shape == (2, 7)
    assert not gives_probabilities(model) and model.layers[-1].name == "logits"
    again, other = (build_model(name, shape, 7, seed=seed, **more) for seed in (3, 4))
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    kernels = [n for n, w in enumerate(model.weights) if "kernel" in w.name]
    for n in kernels:
        np.testing.assert_array_equal(again.get_weights()[n], model.get_weights()[n])
        assert not np.array_equal(other.get_weights()[n], model.get_weights()[n])
    first = [tuple(model.get_weights()[n].ravel()[:8]) for n in kernels]
    assert len(set(first)) == len(first)  # no two layers share a stream


@pytest.mark.parametrize("name", ["resnet18", "resnet18-flap", "resnet20", "vgg11"])
def test_norm_is_selectable(name):
    model = build_model(name, GREY, 10, norm="group")
    kinds = {type(layer).__name__ for layer in model.layers}
    assert "GroupNormalization" in kinds and "BatchNormalization" not in kinds
    assert not model.non_trainable_weights
    groups = {
        layer.groups for layer in model.layers if hasattr(layer, "groups") and "norm" in layer.name
    }
    widest = max(layer.filters for layer in model.layers if hasattr(layer, "filters"))
    assert max(groups) == widest // 16 and min(groups) >= 1


def test_norm_refused_where_there_is_none():
    with pytest.raises(UserError, match="lenet5, which has no norm layer"):
        build_model("lenet5", GREY, 10, norm="group")
    with pytest.raises(UserError, match="did you mean 'group'"):
        build_model("vgg11", GREY, 10, norm="grup")


def test_images_too_small_are_refused_in_one_line():
    with pytest.raises(UserError, match="model: lenet5 cannot take examples of 8x8x1") as error:
        build_model("lenet5", (8, 8, 1), 10)
    assert "\n" not in str(error.value)


@pytest.fixture
def own_model(tmp_path):
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input(GREY),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(10, activation="softmax"),
        ]
    )
    path = tmp_path / "own.keras"
    model.save(path)
    return str(path), model


def test_users_own_model_is_loaded_with_its_weights(own_model):
    path, model = own_model
    loaded = build_model(path, GREY, 10)
    for a, b in zip(loaded.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert gives_probabilities(loaded)


@pytest.mark.parametrize(
    "end, softmax",
    [
        ([layers.Dense(3)], False),
        ([layers.Dense(3, activation="linear")], False),
        ([layers.Dense(3, activation="softmax")], True),
        ([layers.Dense(3), layers.Softmax()], True),
        ([layers.Dense(3), layers.Activation("softmax")], True),
        ([tf.keras.Sequential([layers.Input((2,)), layers.Dense(3, activation="softmax")])], True),
    ],
)
def test_logits_and_probabilities_are_told_apart(end, softmax):
    assert gives_probabilities(tf.keras.Sequential([layers.Input((2,)), *end])) is softmax


def test_other_ends_are_refused():
    model = tf.keras.Sequential([layers.Input((2,)), layers.Dense(3, activation="sigmoid")])
    with pytest.raises(UserError, match="end in softmax.*got sigmoid"):
        gives_probabilities(model)


@pytest.mark.parametrize(
    "shape, classes, message",
    [(COLOUR, 10, "takes examples of"), (GREY, 26, "the data has 26 classes")],
)
def test_users_model_must_fit_the_data(own_model, shape, classes, message):
    with pytest.raises(UserError, match=message):
        build_model(own_model[0], shape, classes)


def test_corrupt_and_missing_files_are_refused(tmp_path):
    (tmp_path / "bad.keras").write_bytes(b"not a zip")
    for name, message in (("bad.keras", "not a Keras model"), ("none.keras", "no file")):
        with pytest.raises(UserError, match=message) as error:
            build_model(str(tmp_path / name), GREY, 10)
        assert "\n" not in str(error.value)


def test_published_nets_of_others_load(shared_models):
    lenet = build_model(str(shared_models / "lenet5_emnist_098.h5"), GREY, 10)
    assert lenet.count_params() == 44_426 and gives_probabilities(lenet)
    resnet = build_model(str(shared_models / "resnet18.h5"), COLOUR, 10)
    assert resnet.count_params() == 274_442


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "vgg11"])
def test_weights_are_redrawn_from_their_own_initializers(name):
    model = build_model(name, (32, 32, 3), 10, seed=3)
    before = model.get_weights()
    first, again, other = (redrawn(model, seed) for seed in (1, 1, 2))
    for kept, now, a, b, c in zip(before, model.get_weights(), first, again, other):
        np.testing.assert_array_equal(kept, now)
        np.testing.assert_array_equal(a, b)
        assert a.shape == kept.shape and a.dtype == kept.dtype
        if kept.ndim > 1:
            assert (a != kept).any() and (a != c).any()
            assert np.std(a) == pytest.approx(np.std(kept), rel=0.25)
        else:
            np.testing.assert_array_equal(a, c)
    kernels = [w for w in first if w.ndim > 1]
    for a, b in zip(kernels, kernels[1:]):  # equal shapes do not get equal draws
        assert a.shape != b.shape or (a != b).any()


@pytest.mark.parametrize("name", MODELS)
def test_nets_are_the_same_whatever_keras_has_been_set_to(name):
    """keras.json may say channels_first or float16, a notebook mixed precision."""
    backend, precision = tf.keras.backend, tf.keras.mixed_precision
    shape, more, inputs = example_of(name)
    expected = build_model(name, shape, 10, **more)
    kept = backend.image_data_format(), backend.floatx(), precision.global_policy()
    backend.set_image_data_format("channels_first")
    backend.set_floatx("float16")
    precision.set_global_policy("mixed_float16")
    try:
        model = build_model(name, shape, 10, **more)
        assert (backend.image_data_format(), backend.floatx()) == ("channels_first", "float16")
        assert precision.global_policy().name == "mixed_float16"
    finally:
        backend.set_image_data_format(kept[0])
        backend.set_floatx(kept[1])
        precision.set_global_policy(kept[2])
    assert all(
        getattr(layer, "data_format", "channels_last") == "channels_last"
        and layer.compute_dtype == "float32"
        for layer in model.layers
        if not isinstance(layer, layers.InputLayer)
    )
    np.testing.assert_array_equal(model(inputs), expected(inputs))
