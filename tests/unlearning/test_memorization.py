"""FedMemPrune on Keras weights: which weights are located, how they are drawn anew."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.models import build_model
from tfunlearn.unlearning import locate, mean_delta_of, mean_gradient_of, reset, suggest_ratio
from tfunlearn.unlearning.eligible import eligible_places, initial_bounds

layers = tf.keras.layers
ANY = dict(include=lambda name, array: True)


def net(norm=True):
    """A convolution with a scale, a depthwise one, and a Dense layer."""
    return tf.keras.Sequential(
        [
            layers.Input((6, 6, 2)),
            layers.Conv2D(4, 3, name="conv"),
            *([layers.BatchNormalization(name="norm")] if norm else []),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, name="depth"),
            layers.Flatten(),
            layers.Dense(3, name="logits"),
        ]
    )


def drawn(model, rng, scale=1.0):
    return [rng.normal(0, scale, w.shape).astype(np.float32) for w in model.get_weights()]


def test_the_mean_comes_before_the_absolute_value():
    clients = [
        [np.array([1.0, 0.5, -2.0, 3.0, 0.6, -4.0])],
        [np.array([-1.0, 0.5, -2.0, 3.0, 0.2, -4.0])],
    ]
    mean = mean_delta_of(clients)
    np.testing.assert_allclose(mean[0], [0, 0.5, -2, 3, 0.4, -4])
    masks = locate([np.zeros(6)], mean, 0.2, zero_updates="include", **ANY)
    assert masks[0].tolist() == [True, False, False, False, False, False]  # mean |delta| is 1
    weighted = mean_delta_of(clients, [3, 1])  # (3 * 1 - 1) / 4, ...
    np.testing.assert_allclose(weighted[0], [0.5, 0.5, -2, 3, 0.5, -4])
    for weights in ([0, 0], [1], [1, -1], [1, math.nan]):
        with pytest.raises(UserError, match="weights: .*a finite number >= 0 for each client"):
            mean_delta_of(clients, weights)


def test_zeros_are_warned_of_only_where_they_decide_what_is_reset():
    """Of 10 weights, ratio 0.3: with 3 at zero 3 of the other 7 go, with 5 at zero 3 of 5."""
    for zeros, warns in ((3, False), (5, True)):
        changes = [np.concatenate([np.zeros(zeros), np.arange(1.0, 11 - zeros)])]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            masks = locate([np.ones(10)], changes, 0.3, **ANY)
        assert masks.location.moved_share == pytest.approx(3 / (10 - zeros))
        assert [("most of what the net uses" in str(w.message)) for w in caught] == [True] * warns


def test_a_hand_made_example_is_described_in_full():
    deltas = [np.array([[0.0, 3.0], [-1.0, 2.0]]), np.array([1.0, -1.0, 5.0])]
    weights = [np.ones((2, 2)), np.ones(3)]
    masks = locate(weights, deltas, 0.5, zero_updates="include", **ANY)  # k = 3 of 7: 0, 1, 1
    found = masks.location
    assert masks[0].tolist() == [[True, False], [True, False]]
    assert masks[1].tolist() == [True, False, False]  # first among the tied
    assert (found.count, found.eligible, found.threshold) == (3, 7, 1)
    assert (found.ties, found.zeros) == (3, 1)
    assert found.shares == [0.5, pytest.approx(1 / 3)] and found.moved_share == pytest.approx(2 / 6)
    by_layer = locate(weights, deltas, 0.5, scope="layer", zero_updates="include", **ANY)
    assert [mask.sum() for mask in by_layer] == [2, 1]
    last = locate(weights, deltas, 0.5, zero_updates="exclude", **ANY)  # zeros rank last
    assert last[0].tolist() == [[False, False], [True, False]]
    assert last[1].tolist() == [True, True, False] and last.location.moved_share == 0.5


@pytest.mark.parametrize("policy", ["include", "exclude"])
@pytest.mark.parametrize("ratio", [0, 0.1, 1 / 3, 0.7, 0.999, 1])
def test_as_many_as_the_ratio_says_and_the_smallest(ratio, policy, rng):
    model = net()
    deltas = drawn(model, rng)
    deltas[0][:, :, :, 1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masks = locate(model.get_weights(), deltas, ratio, model=model, zero_updates=policy)
    places = eligible_places(deltas, model=model)
    total = sum(deltas[place].size for place in places)
    assert sum(mask.sum() for mask in masks) == math.floor(ratio * total + 1e-9)
    assert masks.location.eligible == total and masks.location.zeros == 18
    for place, mask in enumerate(masks):
        assert mask.shape == deltas[place].shape and (place in places or not mask.any())
    score = np.concatenate([np.abs(deltas[place]).reshape(-1) for place in places])
    if policy == "exclude":
        score = np.where(score == 0, np.inf, score)
    chosen = np.concatenate([masks[place].reshape(-1) for place in places])
    order = np.lexsort((np.arange(total), score))  # brute force: a stable sort of everything
    expected = np.zeros(total, bool)
    expected[order[: chosen.sum()]] = True
    np.testing.assert_array_equal(chosen, expected)


def test_scalars_and_arrays_in_other_orders_are_arrays_too(rng):
    delta = np.round(rng.normal(size=(6, 5)), 1)  # with ties
    plain = locate([delta], [delta], 0.5, zero_updates="include", **ANY)
    turned = locate([delta], [np.asfortranarray(delta)], 0.5, zero_updates="include", **ANY)
    np.testing.assert_array_equal(plain[0], turned[0])
    assert plain[0].sum() == 15 == turned.location.count
    for policy in ("include", "exclude"):
        scalar = locate(
            [np.float32(1), delta],
            [np.zeros((), np.float32), delta + 9],
            1 / 31,
            zero_updates=policy,
            **ANY,
        )
        assert scalar[0].shape == () and bool(scalar[0]) == (policy == "include")
        new = reset([np.float32(1), delta], scalar, rule="zeros", seed=0)
        assert new[0] == (policy == "exclude")


def test_what_is_eligible():
    model = net()
    names = [weight.name for weight in model.weights]
    assert len(names) == 10  # kernel, bias; gamma, beta, mean, variance; kernel, bias; kernel, bias
    assert eligible_places(model.get_weights(), model=model) == [0, 1, 6, 7, 8, 9]
    trainable = eligible_places(model.get_weights(), "trainable", model=model)
    assert trainable == [0, 1, 2, 3, 6, 7, 8, 9]
    kernels = eligible_places(model.get_weights(), lambda name, array: array.ndim > 1, model=model)
    assert kernels == [0, 6, 8]
    seen = []
    eligible_places(model.get_weights(), lambda name, array: seen.append(name) or True, model=model)
    assert "conv/kernel" in seen[0] and "norm/gamma" in seen[2]
    group = build_model("resnet20", (16, 16, 3), 10, norm="group")
    sizes = [group.get_weights()[n].size for n in eligible_places(group.get_weights(), model=group)]
    assert sum(sizes) == group.count_params() - 2 * sum(
        w.shape[0] for w in group.weights if "gamma" in w.name
    )


def test_clients_in_any_order_give_the_same_mask(rng):
    model = net()
    clients = [drawn(model, rng, 1e-3) for _ in range(7)]
    masks = [
        locate(model.get_weights(), mean_delta_of([clients[n] for n in order]), 0.3, model=model)
        for order in (range(7), rng.permutation(7))
    ]
    for one, other in zip(*masks):
        np.testing.assert_array_equal(one, other)


def test_other_saliencies_choose_what_they_say(rng):
    weights = [
        rng.normal(size=(5, 4)),
        rng.normal(size=4),
        rng.normal(size=(4, 3)),
        rng.normal(size=3),
    ]
    deltas = [rng.normal(size=w.shape) for w in weights]
    salun = locate(weights, deltas, 0.25, saliency="salun", **ANY)
    flat = np.abs(np.concatenate([d.ravel() for d in deltas]))
    assert np.concatenate([m.ravel() for m in salun])[np.argsort(-flat)[:9]].all()
    assert sum(m.sum() for m in salun) == 9  # floor(39 / 4)
    deep = locate(weights, deltas, 0.25, saliency="deep", **ANY)
    assert not deep[0].any() and not deep[1].any() and sum(m.sum() for m in deep) == 9
    with pytest.warns(UserWarning, match="15 weights can be chosen, fewer than.*19"):
        deep = locate(weights, deltas, 0.5, saliency="deep", **ANY)
    assert deep[2].all() and deep[3].all() and deep.location.count == 15
    shallow = locate(weights, deltas, 0.25, saliency="shallow", **ANY)
    assert not shallow[2].any() and not shallow[3].any()
    channels = locate(weights, deltas, 0.5, saliency="localized", **ANY)
    assert not channels[1].any() and not channels[3].any()
    for place, count in ((0, 2), (2, 1)):
        products = np.sort(np.abs(weights[place] * deltas[place]), axis=0)[-5:].mean(axis=0)
        best = set(np.argsort(-products)[:count])
        assert set(np.flatnonzero(channels[place].all(axis=0))) == best
        assert channels[place].sum() == count * len(weights[place])
    random = locate(weights, deltas, 0.25, saliency="random", rng=np.random.default_rng(1), **ANY)
    assert random.location.count == 9
    assert any((a != b).any() for a, b in zip(random, salun))


def test_zero_updates_of_a_dead_unit_are_warned_of(rng):
    model = tf.keras.Sequential(
        [
            layers.Input((4, 4, 1)),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(3),
        ]
    )
    dead = [np.abs(w) + 0.1 for w in drawn(model, rng)]  # so that every other unit answers
    dead[1][:5] = -100  # five of eight units never answer
    model.set_weights(dead)
    images, labels = rng.random((30, 4, 4, 1)).astype(np.float32), rng.integers(0, 3, 30)
    deltas = [-0.1 * g for g in mean_gradient_of(model)(images, labels)]
    zeros = 5 * 16 + 5 + 5 * 3  # weights into them, their biases, weights behind them
    with pytest.warns(UserWarning, match=f"{zeros} of 163 eligible.*rank last.*76.2% of the other"):
        masks = locate(dead, deltas, 0.3, model=model)  # k = 48 of 63 that moved
    assert masks.location.zeros == zeros and masks.location.moved_share == pytest.approx(48 / 63)
    with pytest.warns(UserWarning, match="at least as many as are to be reset.*arbitrary"):
        void = locate(dead, deltas, 0.3, zero_updates="include", model=model)
    assert void.location.moved_share == 0
    with pytest.raises(UserError, match="zero_updates: .*100 of 163.*got 'error'"):
        locate(dead, deltas, 0.3, zero_updates="error", model=model)
    with pytest.raises(
        UserError, match="zero_updates: .*80 of 128 eligible"
    ):  # layer by layer: the first kernel
        locate(dead, deltas, 0.5, scope="layer", zero_updates="error", model=model)
    with pytest.raises(UserError, match="mean_delta: .*got '163 of 163 changes of exactly zero'"):
        locate(dead, [0 * delta for delta in deltas], 0.3, model=model)
    with pytest.raises(UserError, match="rng: .*got None"):
        locate(dead, deltas, 0.3, saliency="random", model=model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        locate(dead, deltas, 0.7, zero_updates="error", model=model)  # they do not fill it
        everything = locate(dead, deltas, 1, model=model)
    assert all(mask.all() for mask in everything)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(ratio=1.5), "ratio: .*got 1.5"),
        (dict(ratio=-0.1), "ratio: .*got -0.1"),
        (dict(ratio=float("nan")), "ratio: .*got nan"),
        (dict(ratio=True), "ratio: .*got True"),
        (dict(scope="all"), "scope: .*got 'all'"),
        (dict(saliency="salin"), "saliency: unknown name 'salin'; did you mean 'salun'"),
        (dict(zero_updates="drop"), "zero_updates: .*got 'drop'"),
        (dict(include="kernels"), "include"),
        (dict(model=None), "model: .*got None"),
        (dict(include=lambda name, array: False), "include: .*at least one weight"),
    ],
)
def test_bad_settings_are_named(change, message, rng):
    model = net()
    options = {"ratio": 0.3, "model": model, **change}
    with pytest.raises(UserError, match=message):
        locate(model.get_weights(), drawn(model, rng), options.pop("ratio"), **options)


def test_updates_that_do_not_fit_or_are_not_finite_are_refused(rng):
    model = net()
    deltas = drawn(model, rng)
    with pytest.raises(UserError, match="mean_delta: .*got '9 arrays'"):
        locate(model.get_weights(), deltas[:-1], 0.3, model=model)
    deltas[4][:2] = np.nan
    with pytest.raises(UserError, match="mean_delta: .*got '2 entries of array 4"):
        locate(model.get_weights(), deltas, 0.3, model=model)


@pytest.mark.parametrize("rule", ["layer", "he_uniform_compat", "zeros"])
def test_a_reset_touches_what_it_is_told_and_nothing_else(rule, rng):
    model = net()
    weights = drawn(model, rng)
    masks = locate(weights, drawn(model, rng), 0.4, include="trainable", model=model)
    new = reset(weights, masks, rule=rule, seed=3, model=model)
    for old, fresh, mask in zip(weights, new, masks):
        np.testing.assert_array_equal(old[~mask], fresh[~mask])
        assert (old[mask] != fresh[mask]).all() and fresh.dtype == np.float32
    for a, b in zip(new, reset(weights, masks, rule=rule, seed=3, model=model)):
        np.testing.assert_array_equal(a, b)
    if rule == "zeros":
        assert all((fresh[mask] == 0).all() for fresh, mask in zip(new, masks))
    else:
        other = reset(weights, masks, rule=rule, seed=4, model=model)
        assert any((a != b).any() for a, b in zip(new, other))
    if rule == "layer":  # a scale begins at one, a bias at zero
        assert (new[2][masks[2]] == 1).all() and (new[9][masks[9]] == 0).all()


def test_everything_and_nothing():
    model = net()
    weights = model.get_weights()
    none = [np.zeros(w.shape, bool) for w in weights]
    for old, new in zip(weights, reset(weights, none, seed=0, model=model)):
        np.testing.assert_array_equal(old, new)
    moving = [mask.copy() for mask in none]
    moving[4][:] = True
    with pytest.raises(UserError, match="masks.*moving statistics are never reset"):
        reset(weights, moving, seed=0, model=model)
    for masks in (none[:-1], [mask.astype(int) for mask in none]):
        with pytest.raises(UserError, match="masks"):
            reset(weights, masks, seed=0, model=model)
    with pytest.raises(UserError, match="rule: unknown name 'he'"):
        reset(weights, none, rule="he", seed=0, model=model)
    with pytest.raises(UserError, match="model: .*got None"):
        reset(weights, none, seed=0, rule="layer")


def test_fresh_draws_are_uniform_within_their_bounds():
    model = tf.keras.Sequential(
        [
            layers.Input((12, 12, 8)),
            layers.Conv2D(24, 3, groups=2, name="grouped"),
            layers.DepthwiseConv2D(5, depth_multiplier=10, name="depth"),
            layers.SeparableConv2D(6, 3, name="separable"),
            layers.Flatten(),
            layers.Dense(40),
        ]
    )
    weights = model.get_weights()
    new = reset(
        weights,
        [np.ones(w.shape, bool) for w in weights],
        rule="he_uniform_compat",
        seed=1,
        model=model,
    )
    fans = {0: 3 * 3 * 4, 2: 5 * 5, 4: 3 * 3, 5: 240, 7: weights[7].shape[0]}
    assert [weights[n].ndim for n in fans] == [4, 4, 4, 4, 2]
    for place, fan in fans.items():
        bound = math.sqrt(6 / fan)
        assert initial_bounds(model, weights)[place] == pytest.approx(bound)
        assert np.abs(new[place]).max() <= bound * (1 + 1e-6)
        assert _kolmogorov_smirnov(new[place], -bound, bound) < 1.95 / math.sqrt(new[place].size)
    for place in (1, 3, 6, 8):
        assert np.abs(new[place]).max() <= 0.1 and new[place].std() > 0.03
    words = tf.keras.Sequential(
        [layers.Input((5,)), layers.Embedding(50, 8), layers.Flatten(), layers.Dense(2)]
    )
    assert initial_bounds(words, words.get_weights())[0] == pytest.approx(math.sqrt(6 / 8))


def _kolmogorov_smirnov(sample, low, high):
    """Returns the largest distance of the sample's distribution to a uniform one."""
    expected = (np.sort(sample.ravel().astype(np.float64)) - low) / (high - low)
    steps = np.arange(1, sample.size + 1) / sample.size
    return max(np.abs(steps - expected).max(), np.abs(steps - 1 / sample.size - expected).max())


def test_the_mean_gradient_is_that_of_finite_differences(rng):
    model = tf.keras.Sequential(
        [  # smooth
            layers.Input((6, 6, 2)),
            layers.Conv2D(4, 3, activation="tanh"),
            layers.DepthwiseConv2D(3, activation="tanh"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    images = rng.integers(0, 256, (11, 6, 6, 2), dtype=np.uint8)
    labels = rng.integers(0, 3, 11)
    gradient = mean_gradient_of(model, batch_size=4)(images, labels)
    start = model.get_weights()

    def loss(place, index, step):
        moved = [w.copy() for w in start]
        moved[place][index] += step
        model.set_weights(moved)
        logits = model(images / np.float32(255)).numpy().astype(np.float64)
        powers = np.exp(logits)
        return -np.log(powers[np.arange(11), labels] / powers.sum(axis=1)).mean()

    for place, index in ((0, (1, 1, 0, 2)), (1, (3,)), (2, (0, 2, 1, 0)), (4, (5, 1)), (5, (2,))):
        difference = (loss(place, index, 1e-2) - loss(place, index, -1e-2)) / 2e-2
        assert gradient[place][index] == pytest.approx(difference, rel=0.02, abs=2e-4)


def test_a_ratio_is_suggested_from_the_knee():
    slow = 10.0 ** np.linspace(-6, -3, 9000)  # climbs slowly ...
    fast = 10.0 ** np.linspace(-3, 1, 1000)  # ... and shoots up in the last tenth
    found = suggest_ratio(np.concatenate([slow, -fast, np.zeros(2500)]))
    assert found.knee == pytest.approx(1e-3, rel=0.05) and found.knee_percentile == 90.0
    assert found.cut == pytest.approx(found.knee / 10) and (found.zero_share == pytest.approx(0.2))
    assert found.ratio == pytest.approx(0.48, abs=0.01)  # 6000 of 12,500 lie below 1e-4
    deltas = [np.concatenate([slow, -fast, np.zeros(2500)])]
    masks = locate(deltas, deltas, found.ratio, **ANY)  # and these are what is reset
    assert np.abs(deltas[0][masks[0]]).max() <= found.cut and np.abs(deltas[0][masks[0]]).min() > 0
    decade = suggest_ratio(slow, method="decade", knee=4e-4)  # m = -3, cut 1e-4
    assert decade.cut == pytest.approx(1e-4) and decade.knee_percentile is None
    assert decade.ratio == pytest.approx(2 / 3, abs=0.001)
    lower = suggest_ratio(slow, method="decade", knee=2e-4)  # m = -4
    assert lower.cut == pytest.approx(1e-5)
    assert suggest_ratio(slow, knee=1e9).ratio == 0.95
    assert suggest_ratio(slow, knee=1e-9).ratio == 0.05
    scaled = suggest_ratio([1000 * slow, 1000 * fast])
    assert scaled.ratio == pytest.approx(suggest_ratio([slow, fast]).ratio)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros(500), {}, "saliency: .*at least 100.*got '0 changes"),
        (np.full(500, np.nan), {}, "not finite"),
        (np.ones(500), dict(method="knee"), "method"),
        (np.ones(500), dict(knee=-1), "knee: .*got -1"),
        (np.ones(500), dict(knee="none"), "knee: .*got 'none'"),
    ],
)
def test_no_ratio_without_changes(values, options, message):
    with pytest.raises(UserError, match=message):
        suggest_ratio(values, **options)
