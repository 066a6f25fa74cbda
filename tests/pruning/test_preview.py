"""Explain, then apply: nothing touched before, the same as pruning after."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.pruning import (
    FilterRecord,
    Pair,
    PairRecord,
    apply,
    explain,
    prune_filters,
    prune_pairs,
)
from tfunlearn.pruning.records import as_json

layers = tf.keras.layers


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"score": "saliency"},
        {"compat": "flap"},
        {"zero_incoming": False},
        {"layers": ["dense_1", "conv_2"]},
    ],
)
def test_explain_then_apply_is_pruning(options):
    model, twin = (build_model("lenet5", (28, 28, 1), 10, seed=3) for _ in range(2))
    before = model.get_weights()
    records = explain(model, 0.1, **options)
    assert same(model.get_weights(), before)
    names = options.pop("layers", None)
    own = dict(layers=names[:1]) if names else {}
    expected = prune_pairs(twin, 0.1, **options, **own)
    expected |= prune_filters(twin, 0.1, **(dict(layers=names[1:]) if names else {}))
    assert records == expected and list(records)[0] == "conv_1"
    apply(model, records)
    assert same(model.get_weights(), twin.get_weights())
    assert not same(model.get_weights(), before)


def test_kinds_can_be_looked_at_by_themselves():
    model = build_model("lenet5", (28, 28, 1), 10)
    assert list(explain(model, pairs=False)) == ["conv_1", "conv_2"]
    assert list(explain(model, filters=False)) == ["dense_1", "dense_2", "logits"]
    with pytest.raises(UserError, match="no layer with filters or unit pairs"):
        explain(model, filters=False, pairs=False)


def test_records_go_into_json_and_one_alone_is_applied():
    model = build_model("lenet5", (28, 28, 1), 10)
    records = explain(model, 0.05)
    assert (
        as_json(records)["dense_1"]["candidates"][0]["kept"]
        == records["dense_1"].candidates[0].kept
    )
    before = model.get_weights()
    apply(model, records["conv_2"])
    changed = [
        n for n, (a, b) in enumerate(zip(before, model.get_weights())) if not np.array_equal(a, b)
    ]
    assert changed == [2]  # the kernel; biases are zero at the start


@pytest.mark.parametrize(
    "record, message",
    [
        (
            PairRecord("dense_7", 120, (Pair(0, 1, 0.0),)),
            "no prunable layer 'dense_7'.*did you mean",
        ),
        (PairRecord("dense_1", 100, (Pair(0, 1, 0.0),)), "has 120 units, its record 100"),
        (PairRecord("dense_1", 120, (Pair(0, 120, 0.0),)), "0 to 119, each once; got .*120"),
        (PairRecord("dense_1", 120, (Pair(0, 1, 0.0), Pair(1, 2, 0.0))), "each once"),
        (PairRecord("logits", 10, (Pair(0, 1, 0.0),)), "'logits' cannot be pruned \\(output layer"),
        (PairRecord("conv_1", 6, (Pair(0, 1, 0.0),)), "no prunable layer 'conv_1'"),
        (FilterRecord("conv_1", 6, (6,)), "0 to 5.*got .6."),
        (FilterRecord("dense_1", 120, (6,)), "no prunable layer 'dense_1'"),
    ],
)
def test_records_that_do_not_fit_are_refused_whole(record, message):
    model = build_model("lenet5", (28, 28, 1), 10)
    before, good = model.get_weights(), explain(model)
    with pytest.raises(UserError, match=message):
        apply(model, {**good, record.layer: record})
    assert same(model.get_weights(), before)


def test_records_of_what_was_left_alone_do_nothing():
    model = build_model("lenet5", (28, 28, 1), 10)
    before = model.get_weights()
    apply(model, {"logits": explain(model)["logits"]})
    unchosen = dataclasses.replace(
        explain(model)["dense_1"], candidates=(Pair(0, 1, 0.0, chosen=False),)
    )
    apply(model, unchosen)
    assert same(model.get_weights(), before)


@pytest.mark.parametrize(
    "records, message",
    [
        ({"conv_2": FilterRecord("conv_1", 6, (2,))}, "records: .*own layer, conv_1; got 'conv_2'"),
        ({"dense_1": None}, "records: .*got None"),
        ([], "records: .*got 'list'"),
        (PairRecord("dense_1", 120, (Pair("1", 2, 0.0),)), "from 0 to 119"),
        (PairRecord("dense_1", 120, (Pair(0.5, 1.5, 0.0),)), "from 0 to 119"),
        (FilterRecord("conv_1", 6, (0, 1, 2, 3, 4, 5)), "at most all filters but one"),
    ],
)
def test_what_is_no_record_is_refused(records, message):
    model = build_model("lenet5", (28, 28, 1), 10)
    before = model.get_weights()
    with pytest.raises(UserError, match=message):
        apply(model, records)
    assert same(model.get_weights(), before)
