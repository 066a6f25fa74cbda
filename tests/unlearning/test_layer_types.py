"""Which weights each method may change, by class of layer: the table in docs/unlearning.md."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models.weight_names import weight_names
from tfunlearn.pruning.channels import channel_layers
from tfunlearn.pruning.graph import Graph
from tfunlearn.unlearning import kernels_of
from tfunlearn.unlearning.eligible import eligible_places
from tfunlearn.unlearning.fedau import head_places

L = tf.keras.layers
DOC = pathlib.Path(__file__).resolve().parents[2] / "docs" / "unlearning.md"


@pytest.fixture(scope="module")
def model():
    tokens = tf.keras.Input((12,), dtype="int32")
    x = L.Embedding(50, 8, name="embedding")(tokens)
    x = L.Conv1D(8, 3, padding="same", name="conv")(x)
    x = L.BatchNormalization(name="batch")(x)
    x = L.LayerNormalization(name="layer")(x)
    x = L.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True, name="lstm"), name="both")(x)
    x = L.GRU(6, name="gru")(x)
    x = L.Dense(5, activation="relu", name="hidden")(x)
    return tf.keras.Model(tokens, L.Dense(3, name="logits")(x))


def named(model, places) -> set[str]:
    names = weight_names(model)
    return {names[place] for place in places}


ATTENTION = {f"attention/{part}/kernel" for part in ("query", "key", "value", "attention_output")}
RECURRENT = {
    f"{place}/{name}"
    for place in ("both/forward_lstm/lstm_cell", "both/backward_lstm/lstm_cell", "gru/gru_cell")
    for name in ("kernel", "recurrent_kernel")
}
PLAIN = {"conv/kernel", "hidden/kernel", "logits/kernel"}


def test_kernels_are_found_by_class(model):
    assert named(model, kernels_of(model)) == PLAIN | ATTENTION | RECURRENT
    assert named(model, kernels_of(model, embeddings=True)) == (
        PLAIN | ATTENTION | RECURRENT | {"embedding/embeddings"}
    )
    assert named(model, kernels_of(model, convolutions_only=True)) == {"conv/kernel"}


def test_memorization_leaves_normalization_alone(model):
    spared = set(weight_names(model)) - named(
        model, eligible_places(model.get_weights(), model=model)
    )
    assert {name.split("/")[0] for name in spared} == {"batch", "layer"}
    whole = named(model, eligible_places(model.get_weights(), "trainable", model=model))
    assert set(weight_names(model)) - whole == {"batch/moving_mean", "batch/moving_variance"}


def test_channels_are_those_of_convolutions_and_dense_layers(model):
    assert {one.layer for one in channel_layers(Graph.of(model))} == {"conv", "hidden", "logits"}


def test_the_head_is_the_last_dense_layer(model):
    assert named(model, head_places(model)) == {"logits/kernel", "logits/bias"}


def test_a_method_that_reaches_nothing_refuses(tmp_path):
    from tfunlearn.datasets import from_arrays
    from tfunlearn.experiment import run_config, train
    from tfunlearn.experiment.unlearning import unlearn, unlearn_settings

    def without_kernels(input_shape, classes, *, seed):
        return tf.keras.Sequential(
            [L.Input(input_shape), L.LayerNormalization(name="norm"), L.Softmax()]
        )

    rng = np.random.default_rng(0)
    x = rng.random((60, 3)).astype(np.float32)
    data = from_arrays(x, x.argmax(axis=1), name="ranks")
    config = dict(dataset=data, model=without_kernels, rounds=1, clients=3, history="all")
    train(run_config(**config, attack="label-flip", malicious=1), out=tmp_path / "run")
    for method, message in (
        ("fedup", "attention, recurrent or Embedding layers, for fedup"),
        ("not", "attention or recurrent layers, for not"),
        ("exclude", "attention or recurrent layers, for exclude"),
        ("ablation-channel", "Conv"),
        ("cdp", "a Conv or Dense layer"),
        ("fedau", "a Dense layer with a bias, for fedau"),
        ("memorization", "at least one weight"),
    ):
        request = ["class:1"] if method in ("cdp", "ablation-channel") else ["client:0"]
        settings = unlearn_settings(method=method, forget=request, reference=False)
        with pytest.raises(UserError, match=message):
            unlearn(tmp_path / "run", settings, out=tmp_path / method)
        assert not (tmp_path / method).exists()


def test_the_documents_table_names_every_method_with_a_reach():
    rows = [line for line in DOC.read_text().splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in row.split("|")[1].replace("`", "").split(", ")}
    assert {"fedup", "memorization", "ablation-channel", "not", "fedau", "cdp"} <= {
        name.strip() for name in told
    }
