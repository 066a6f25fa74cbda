"""The models that people have: pruned as an independent surgery of the same weights would."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models.saved import load_model
from tfunlearn.pruning import FLAP, FilterRecord, at, explain, prune_filters, prune_pairs

layers, keras = tf.keras.layers, tf.keras


def conv_block(x, filters, name):
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return layers.ReLU()(layers.BatchNormalization(name=f"{name}_bn")(x))


def transfer():
    """A base of two levels of nesting, as transfer learning has it, and a new head."""
    inner_in = keras.Input((8, 8, 4))
    inner = keras.Model(inner_in, conv_block(inner_in, 6, "conv"), name="block")
    base_in = keras.Input((16, 16, 3))
    x = layers.MaxPooling2D()(conv_block(base_in, 4, "conv"))
    base = keras.Model(base_in, inner(x), name="base")
    head = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.Dense(3, name="logits"),
        ],
        name="head",
    )
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(base(inputs, training=False))
    return keras.Model(inputs, head(layers.Dense(6, activation="relu", name="between")(x)))


def siamese():
    encoder_in = keras.Input((16, 16, 3))
    x = layers.Flatten()(conv_block(encoder_in, 5, "conv"))
    x = layers.Dense(8, activation="relu", name="first")(x)
    encoder = keras.Model(encoder_in, layers.Dense(6, name="second")(x), name="encoder")
    one, other = keras.Input((16, 16, 3), name="one"), keras.Input((16, 16, 3), name="other")
    gap = layers.Subtract()([encoder(one), encoder(other)])
    return keras.Model([one, other], layers.Dense(1, name="score")(gap))


def two_inputs():
    image, number = keras.Input((16, 16, 3), name="image"), keras.Input((5,), name="number")
    x = layers.GlobalAveragePooling2D()(conv_block(image, 6, "conv"))
    y = layers.Dense(7, activation="relu", name="numbers")(number)
    x = layers.Dense(9, activation="relu", name="images")(x)
    x = layers.Dense(10, activation="relu", name="wide")(layers.Concatenate()([x, y]))
    return keras.Model(
        {"image": image, "number": number},
        {"label": layers.Dense(3, name="label")(x), "size": layers.Dense(1, name="size")(x)},
    )


def unet():
    inputs = keras.Input((16, 16, 3))
    down = conv_block(inputs, 4, "down")
    low = conv_block(layers.MaxPooling2D()(down), 8, "low")
    up = layers.Concatenate()([layers.UpSampling2D()(low), down])
    return keras.Model(inputs, layers.Conv2D(2, 1, name="mask")(conv_block(up, 4, "up")))


def transformer():
    inputs = keras.Input((12,), dtype="int32")
    x = layers.Embedding(20, 8, name="embedding")(inputs)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, name="attention")(x, x)])
    x = layers.LayerNormalization()(x)
    y = layers.Dense(16, activation="relu", name="wide")(x)
    x = layers.Add()([x, layers.Dense(8, name="narrow")(y)])
    x = layers.Dense(12, activation="relu", name="pooled")(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, layers.Dense(2, name="logits")(x))


def recurrent():
    return keras.Sequential(
        [
            keras.Input((12, 5)),
            layers.Dense(7, name="before"),
            layers.Dense(6, name="given"),
            layers.LSTM(6, name="lstm"),
            layers.Dense(9, activation="relu", name="hidden"),
            layers.Dense(2, name="logits"),
        ]
    )


def application(name):
    def make():
        return getattr(keras.applications, name)(
            weights=None, input_shape=(32, 32, 3), classes=4, classifier_activation=None
        )

    make.__name__ = name
    return make


SMALL = [transfer, siamese, two_inputs, unet, transformer, recurrent]
LARGE = [application(name) for name in ("MobileNetV2", "ResNet50", "EfficientNetB0")]
READERS = {  # Dense layer -> those that read its units
    transfer: {"between": ["head/hidden"], "head/hidden": ["head/logits"]},
    siamese: {"encoder/first": ["encoder/second"]},
    two_inputs: {"wide": ["label", "size"]},
    unet: {},
    transformer: {"wide": ["narrow"], "pooled": ["logits"]},
    recurrent: {"before": ["given"], "hidden": ["logits"]},
}


def drawn(make, seed=0):
    """Returns a model with weights at random, none of them at its initial value."""
    keras.utils.set_random_seed(seed)
    model, rng = make(), np.random.default_rng(seed)
    adapted = {
        id(weight)
        for layer in model.layers
        if isinstance(layer, layers.Normalization)
        for weight in layer.weights
    }  # of which Keras keeps copies
    model.set_weights(
        [
            w
            if id(variable) in adapted
            else (
                rng.uniform(0.2, 1, w.shape) if w.ndim == 1 else rng.normal(0, 0.2, w.shape)
            ).astype(w.dtype)
            for variable, w in zip(model.weights, model.get_weights())
        ]
    )
    return model


def inputs_of(model, seed=1):
    rng = np.random.default_rng(seed)
    found = {
        tensor.name.partition(":")[0]: rng.integers(0, 20, (3, *tensor.shape[1:]))
        if tf.as_dtype(tensor.dtype).is_integer
        else rng.random((3, *tensor.shape[1:]), np.float32)
        for tensor in model.inputs
    }
    if not isinstance(model, keras.Sequential) and isinstance(model.input, dict):
        return {name: found[name] for name in model.input}
    return list(found.values()) if len(found) > 1 else next(iter(found.values()))


def outputs_of(model):
    return [np.asarray(y) for y in tf.nest.flatten(model(inputs_of(model), training=False))]


def layer_at(model, path):
    """Finds a layer by names, model by model, as Keras itself does."""
    *models, name = path.split("/")
    for each in models:
        model = model.get_layer(each)
    return model.get_layer(name)


def norm_behind(model, path):
    """The BatchNormalization that reads a convolution, by the tensors of the model it is in."""
    *models, name = path.split("/")
    for each in models:
        model = model.get_layer(each)
    made = model.get_layer(name).output
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization) and layer.input is made:
            return layer
    return None


def operate(model, records, readers):
    """The same prunings, layer by layer through Keras' own get_weights and set_weights."""
    for path, record in records.items():
        if isinstance(record, FilterRecord):
            gone = list(record.pruned)
            layer = layer_at(model, path)
            layer.set_weights(
                [np.where(np.isin(np.arange(w.shape[-1]), gone), 0, w) for w in layer.get_weights()]
            )
            norm = norm_behind(model, path)
            if gone and norm is not None:
                parts = dict(
                    zip(
                        (v.name.rpartition("/")[2].partition(":")[0] for v in norm.weights),
                        norm.get_weights(),
                    )
                )
                for name in ("gamma", "beta") if "gamma" in parts else ("beta", "moving_mean"):
                    parts[name][gone] = 0
                norm.set_weights(list(parts.values()))
            continue
        for kept, removed in zip(record.kept, record.removed):
            layer = layer_at(model, path)
            kernel, bias = layer.get_weights()
            kernel[:, removed] = bias[removed] = 0
            layer.set_weights([kernel, bias])
            for reader in readers[path]:
                rows, *rest = layer_at(model, reader).get_weights()
                rows[kept] += rows[removed]
                rows[removed] = 0
                layer_at(model, reader).set_weights([rows, *rest])


def zeros(model, path):
    kernel = layer_at(model, path).get_weights()[0]
    return set(np.flatnonzero(~kernel.reshape(-1, kernel.shape[-1]).any(axis=0)).tolist())


def prune_both(model, fraction):
    records = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of saliency in the place of impact
        for prune in (prune_filters, prune_pairs):
            try:
                records |= prune(model, fraction)
            except UserError as error:
                assert "has no layer with" in str(error)
    return records


@pytest.mark.parametrize("make", SMALL + LARGE, ids=lambda make: make.__name__)
def test_outputs_and_zeros_are_those_of_an_independent_surgery(make, tmp_path):
    model, other = drawn(make), drawn(make)
    before = outputs_of(model)
    records = prune_both(model, 0.2)
    operate(other, records, READERS.get(make, {}))
    after = outputs_of(model)
    assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(after, before))
    for own, right in zip(after, outputs_of(other), strict=True):
        np.testing.assert_allclose(own, right, rtol=1e-5, atol=1e-6)
    gone = {
        path: set(getattr(record, "pruned", None) or getattr(record, "removed", ()))
        for path, record in records.items()
    }
    assert sum(map(len, gone.values())) > 0
    for path, numbers in gone.items():
        assert zeros(model, path) == numbers
    model.save(tmp_path / "pruned.keras")
    loaded = load_model(tmp_path / "pruned.keras", plain=False)
    for own, theirs in zip(outputs_of(loaded), after, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-5, atol=1e-6)
    if make in SMALL:
        loaded.compile("sgd", "mse")
        targets = tf.nest.map_structure(lambda y: np.ones_like(y), loaded(inputs_of(loaded)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded.fit(
                inputs_of(loaded),
                targets,
                epochs=1,
                verbose=0,
                callbacks=[
                    FLAP(
                        0.2,
                        at(9),
                        limit=0.9,
                        pairs=any(path in READERS[make] for path in gone),
                        filters=any(
                            isinstance(r, FilterRecord) and not r.skipped for r in records.values()
                        ),
                    )
                ],
            )
        for path, numbers in gone.items():
            assert zeros(loaded, path) >= numbers


@pytest.mark.parametrize("make", [*SMALL], ids=lambda make: make.__name__)
def test_which_layers_are_found(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records = explain(drawn(make), 0.2)
    pruned = {path for path, record in records.items() if not record.skipped}
    assert {path for path in pruned if path in READERS[make]} == set(READERS[make])
    assert pruned - set(READERS[make]) == {
        transfer: {"base/conv", "base/block/conv"},
        siamese: {"encoder/conv"},
        two_inputs: {"conv"},
        unet: {"down", "low", "up"},
    }.get(make, set())


@pytest.mark.parametrize(
    "make, named, layer",
    [
        (transformer, "'wide', 'pooled'", "embedding' \\(Embedding"),
        (recurrent, "'before', 'hidden'", "lstm' \\(LSTM"),
    ],
)
def test_layers_that_no_bounds_pass_are_named_and_saliency_chooses(make, named, layer):
    model = drawn(make)
    with pytest.warns(
        UserWarning, match=f"pairs of {named} are chosen by saliency: no bounds pass layer '{layer}"
    ) as warned:
        records = prune_pairs(model, 0.2)
    assert len(warned) == 1
    right = explain(drawn(make), 0.2, score="saliency", filters=False)
    assert all(records[name].removed == right[name].removed for name in records)


def test_what_is_within_a_model_that_cannot_be_taken_apart_is_left_alone_and_named():
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = layers.Dense(4, name="hidden")

        def call(self, x):
            return self.dense(x)

    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu", name="first")(inputs)
    x = layers.Dense(5, activation="relu", name="second")(x)
    model = keras.Model(inputs, layers.Dense(2, name="last")(Own()(x)))
    with pytest.warns(UserWarning, match="chosen by saliency"):
        records = prune_pairs(model, 0.2)
    assert records["first"].removed
    assert records["own/hidden"].skipped == "inside 'own', whose class Own has no layer graph"
    assert "not by a Dense layer" in records["second"].skipped


def test_models_called_in_training_mode_are_left_alone():
    inner_in = keras.Input((6,))
    inner = keras.Model(
        inner_in,
        layers.Dense(4)(layers.Dropout(0.5)(layers.Dense(8, name="within")(inner_in))),
        name="noisy",
    )
    inputs = keras.Input((6,))
    x = layers.Dense(8, name="first")(inputs)
    x = layers.Dense(6, name="second")(x)
    model = keras.Model(inputs, layers.Dense(2)(inner(x, training=True)))
    records = prune_pairs(model, 0.2, score="saliency")
    assert "called with more than its inputs" in records["noisy/within"].skipped
    assert records["first"].removed


def test_an_output_of_a_nested_model_that_nobody_reads_is_left_alone():
    inner_in = keras.Input((6,))
    one = layers.Dense(2, name="one")(layers.Dense(8, name="used")(inner_in))
    inner = keras.Model(inner_in, [one, layers.Dense(5, name="unused")(inner_in)], name="inner")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(2)(inner(inputs)[0]))
    records = prune_pairs(model, 0.2, score="saliency")
    assert records["inner/used"].removed
    assert records["inner/unused"].skipped == "does not lead to an output"


def test_nested_models_that_are_called_with_a_mapping_or_by_name_are_taken_apart():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    x = layers.Dense(8, activation="relu", name="first")(layers.Concatenate()([a, b]))
    by_name = keras.Model({"a": a, "b": b}, layers.Dense(4, name="second")(x), name="pair")
    one, other = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([one, other], layers.Dense(2)(by_name({"a": one, "b": other})))
    assert prune_pairs(model, 0.2)["pair/first"].removed
