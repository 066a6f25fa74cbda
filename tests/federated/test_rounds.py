"""Both execution modes of a round: weighting, determinism, broken clients, pruning."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.aggregation import Aggregator, fltrust
from tfunlearn.attacks import Adversary
from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError
from tfunlearn.core.schedules import every
from tfunlearn.core.vectors import from_vector, to_vector
from tfunlearn.defenses import Flap
from tfunlearn.federated import AveragingRounds, GatheringRounds
from tfunlearn.local_training.client_work import ClientTraining, ClientWork
from tfunlearn.local_training.cohort import Cohort, participants
from tfunlearn.local_training.state import ServerState

layers = tf.keras.layers
TRAINING = ClientTraining("sgd", lr=0.1, local_epochs=2, batch_size=3)
FACES = [AveragingRounds, GatheringRounds]


def small_model():
    return tf.keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(6, activation="relu", name="dense"),
            layers.Dropout(0.2),
            layers.Dense(3, name="logits"),
        ]
    )


def cohort_of(clients, number=1, ids=None, boosts=None):
    ids = np.arange(len(clients)) if ids is None else np.asarray(ids)
    return Cohort(number, ids, clients, np.ones(len(ids)) if boosts is None else boosts)


@pytest.mark.parametrize("pruned", [False, True])
def test_both_faces_give_the_same_model_and_report(engine, small_clients, pruned):
    model = small_model()
    work, state = ClientWork(model, TRAINING), ServerState(model.get_weights())
    results = []
    for face in FACES:
        flap = Flap(model, fraction=0.3, due=every(2)) if pruned else None
        run = face(work, engine=engine, seed=5, flap=flap)
        after = state
        for number in (1, 2, 3):
            after, report = run(after, cohort_of(small_clients, number, [0, 2]))
            assert bool(report.pruned) == (pruned and number != 2)
        results.append((after, report))
    (a, report_a), (b, report_b) = results
    for left, right in zip(a.weights, b.weights):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    assert a.finished == b.finished == 3
    assert report_a.train_loss == pytest.approx(report_b.train_loss, rel=1e-4)
    assert {k: getattr(v, "pruned", None) for k, v in report_a.pruned.items()} == {
        k: getattr(v, "pruned", None) for k, v in report_b.pruned.items()
    }


def test_the_model_moves_by_the_mean_weighted_by_examples(engine, small_clients):
    model = small_model()
    work, state = ClientWork(model, TRAINING), ServerState(model.get_weights())
    updates = GatheringRounds(work, engine=engine, seed=0).gather(
        state.weights, cohort_of(small_clients)
    )
    assert updates.stack.dtype == np.float32 and updates.stack.shape == (3, model.count_params())
    assert updates.ids.tolist() == [0, 1, 2] and updates.examples.tolist() == [5, 8, 3]
    expected = (5 * updates.stack[0] + 8 * updates.stack[1] + 3 * updates.stack[2]) / 16
    moving = to_vector([w.numpy() for w in model.get_layer("norm").weights[2:]])
    for face in FACES:
        after, _ = face(work, engine=engine, seed=0)(state, cohort_of(small_clients))
        step = to_vector(after.weights) - to_vector(state.weights)
        np.testing.assert_allclose(step, expected, rtol=1e-4, atol=1e-6)
        # moving mean and variance are averaged like every other weight, and do move
        norm = from_vector(expected, [w.shape for w in model.get_weights()])[4:6]
        assert all(np.abs(part).max() > 1e-4 for part in norm)
        np.testing.assert_allclose(
            to_vector(after.weights[4:6]), moving + to_vector(norm), rtol=1e-4
        )


@pytest.mark.parametrize("face", FACES)
def test_same_seed_same_bits_other_seed_other_bits(engine, small_clients, face):
    model = small_model()
    work, state = ClientWork(model, TRAINING), ServerState(model.get_weights())
    runs = [
        face(work, engine=engine, seed=seed)(state, cohort_of(small_clients))[0]
        for seed in (1, 1, 2)
    ]
    vectors = [to_vector(run.weights) for run in runs]
    assert vectors[0].tobytes() == vectors[1].tobytes() != vectors[2].tobytes()


@pytest.mark.parametrize("face", FACES)
def test_broken_clients_are_dropped_and_named(engine, small_clients, face):
    images = small_clients.features.astype(np.float32) / 255
    images[small_clients.rows(1)] = np.nan
    clients = ClientSet(images, small_clients.labels, small_clients.offsets)
    model = small_model()
    run = face(ClientWork(model, TRAINING), engine=engine, seed=0, feature_dtype=np.float32)
    state = ServerState(model.get_weights())
    after, report = run(state, cohort_of(clients))
    alone, _ = run(state, cohort_of(clients, ids=[0, 2]))
    assert report.dropped == (1,) and np.isfinite(report.train_loss)
    for a, b in zip(after.weights, alone.weights):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    nobody, report = run(state, cohort_of(clients, ids=[1]))
    assert report.dropped == (1,) and report.train_loss is None
    for a, b in zip(nobody.weights, state.weights):
        np.testing.assert_array_equal(a, b)


class Echo(ClientWork):
    """A client that returns the weights it received."""

    def update(self, trainable, state, client):
        return trainable, state, tf.constant(True), tf.constant(0.0)


@pytest.mark.parametrize("face", FACES)
def test_clients_receive_the_pruned_model_in_the_next_round(engine, small_clients, face):
    model = small_model()
    run = face(
        Echo(model, TRAINING),
        engine=engine,
        seed=0,
        flap=Flap(model, fraction=0.01, due=every(5), narrow=True, limit=0.25),
    )
    first, report = run(ServerState(model.get_weights()), cohort_of(small_clients))
    second, nothing = run(first, cohort_of(small_clients, 2))
    received = [new - old for new, old in zip(second.weights, first.weights)]
    (channel,), (unit,) = report.pruned["conv"].pruned, report.pruned["dense"].removed
    assert nothing.pruned == {}
    kernel, bias, gamma, beta, _, _, dense, dense_bias, outgoing, _ = received
    assert not kernel[..., channel].any() and np.delete(kernel, channel, axis=-1).all()
    assert bias[channel] == gamma[channel] == beta[channel] == 0
    assert not dense[:, unit].any() and not outgoing[unit].any() and dense_bias[unit] == 0
    assert np.delete(outgoing, unit, axis=0).all()
    for sent, stored in zip(received, first.weights):
        np.testing.assert_allclose(sent, stored, rtol=1e-5)


@pytest.mark.parametrize(
    "name, options",
    [
        ("trimmed-mean", {}),
        ("krum", {}),
        ("bulyan", {}),
        ("geometric-median", {}),
        ("rfa", {}),
        ("centered-clipping", {"clip": 0.1}),
        ("norm-bound", {}),
        ("median", {"compat": "flap"}),
        ("multi-krum", {"before": ("nearest-neighbor-mixing",)}),
        ("median", {"before": ("bucketing",)}),
    ],
)
def test_every_rule_gives_the_same_model_on_both_faces(engine, name, options):
    """Also with a broken client, and for a rule that uses the previous aggregate."""
    rng = np.random.default_rng(0)
    images = rng.random((28, 8, 8, 1)).astype(np.float32)
    clients = ClientSet(images, rng.integers(0, 3, 28).astype(np.int32), np.arange(0, 29, 4))
    broken = images.copy()
    broken[clients.rows(2)] = np.nan
    broken = ClientSet(broken, clients.labels, clients.offsets)
    model = small_model()
    work, results = ClientWork(model, TRAINING), []
    for face in FACES:
        run = face(
            work,
            engine=engine,
            seed=0,
            feature_dtype=np.float32,
            aggregator=Aggregator(name, 1, seed=2, **options),
            **({"clients": 7} if face is AveragingRounds else {}),
        )
        state = ServerState(model.get_weights())
        for number, data in ((1, clients), (2, broken), (3, clients)):
            state, report = run(state, cohort_of(data, number, range(7)))
            assert report.dropped == ((2,) if number == 2 else ())
        results.append(state)
    for left, right in zip(results[0].weights, results[1].weights):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    assert (results[0].reference is None) == (name != "centered-clipping")
    if name == "centered-clipping":
        np.testing.assert_allclose(results[0].reference, results[1].reference, atol=1e-6)
        assert np.abs(results[0].reference).max() > 0


def test_adversary_rejection_and_rule_in_their_order(engine, small_clients):
    model = small_model()
    state, seen = ServerState(model.get_weights()), []
    size = model.count_params()

    def craft(view):
        seen.append(("adversary", view.model.tobytes() == to_vector(state.weights).tobytes()))
        return np.full_like(view.own, np.inf if len(seen) > 3 else 1)

    def rejection(model, stack, **options):
        seen.append(("rejection", stack[1].tolist() == [1] * size, options["dropped"]))
        return np.array([False] + [True] * (len(stack) - 1))

    adversary = Adversary(craft, np.array([1]), lambda number: True, 0)
    run = GatheringRounds(
        ClientWork(model, TRAINING),
        engine=engine,
        seed=0,
        adversary=adversary,
        rejection=rejection,
        aggregator=Aggregator("median", 0),
    )
    trained = run.gather(state.weights, cohort_of(small_clients))
    after, report = run(state, cohort_of(small_clients))
    assert seen == [("adversary", True), ("rejection", True, 0)]
    assert report.crafted == (1,) and report.rejected == (0,) and report.dropped == ()
    np.testing.assert_allclose(  # the median of two: their mean
        to_vector(after.weights) - to_vector(state.weights),
        (1 + trained.stack[2]) / 2,
        rtol=1e-4,
        atol=1e-6,
    )
    seen.extend([None] * 3)
    after, report = run(state, cohort_of(small_clients))  # infinite updates dropped and reported
    assert report.dropped == (1,) and report.crafted == (1,)
    assert all(np.isfinite(w).all() for w in after.weights)


def test_fltrust_trains_on_the_servers_own_examples(engine, small_clients):
    model = small_model()
    work, state = ClientWork(model, TRAINING), ServerState(model.get_weights())
    with pytest.raises(UserError, match="fltrust needs the server's own update"):
        GatheringRounds(work, engine=engine, seed=0, aggregator=Aggregator("fltrust", 1))
    with pytest.raises(UserError, match="any rule but fltrust"):
        AveragingRounds(work, engine=engine, seed=0, aggregator=Aggregator("fltrust", 1), clients=3)
    server = ClientSet(small_clients.features[:6], small_clients.labels[:6], np.array([0, 6]))
    run = GatheringRounds(
        work, engine=engine, seed=0, aggregator=Aggregator("fltrust", 1), server_examples=server
    )
    after, _ = run(state, cohort_of(small_clients))
    trusted = run.server_update(state.weights, 1)
    stack = run.gather(state.weights, cohort_of(small_clients)).stack
    np.testing.assert_allclose(
        to_vector(after.weights) - to_vector(state.weights),
        fltrust(stack, trusted=trusted),
        atol=1e-6,
    )
    assert np.abs(trusted).max() > 1e-4
    nowhere = ClientSet(np.full((6, 8, 8, 1), np.nan, np.float32), server.labels, server.offsets)
    floats = ClientSet(
        small_clients.features / np.float32(255), small_clients.labels, small_clients.offsets
    )
    run = GatheringRounds(
        work,
        engine=engine,
        seed=0,
        feature_dtype=np.float32,
        server_examples=nowhere,
        aggregator=Aggregator("fltrust", 1),
    )
    after, _ = run(state, cohort_of(floats))  # a non-finite server update trusts no client
    np.testing.assert_array_equal(to_vector(after.weights), to_vector(state.weights))


def test_participants_are_drawn_by_seed_and_round():
    draw = lambda seed, number: participants(
        np.arange(20), 5, seed=seed, round_number=number
    ).tolist()
    assert draw(0, 1) == draw(0, 1) == sorted(set(draw(0, 1))) and len(draw(0, 1)) == 5
    assert draw(0, 1) != draw(0, 2) and draw(0, 1) != draw(1, 1)
    assert participants(np.arange(4), 4, seed=0, round_number=1).tolist() == [0, 1, 2, 3]


def test_shuffle_orders_do_not_depend_on_who_else_takes_part(small_clients):
    alone = cohort_of(small_clients, 3, [2]).tensors(TRAINING, seed=1)[0]
    among = cohort_of(small_clients, 3).tensors(TRAINING, seed=1)[2]
    assert alone["order"].tolist() == among["order"].tolist() and alone["id"] == 2
    order = among["order"].reshape(2, 3)
    assert all(sorted(epoch) == [0, 1, 2] for epoch in order.tolist())


def test_the_mean_of_many_updates_is_streamed_on_every_engine(engine, small_clients, monkeypatch):
    """Beyond the limit, whatever aggregates inside the engine is left out; rules stay as they are."""
    model = small_model()
    work, state = ClientWork(model, TRAINING), ServerState(model.get_weights())
    mean, cohort = AveragingRounds(work, engine=engine, seed=5), cohort_of(small_clients)
    before, report = mean(state, cohort)
    monkeypatch.setattr("tfunlearn.federated.averaging.INSIDE_BYTES", 3 * model.count_params())
    after, streamed = mean(state, cohort)
    gathered, _ = GatheringRounds(work, engine=engine, seed=5)(state, cohort)
    for one, other, kept in zip(after.weights, gathered.weights, before.weights):
        assert one.tobytes() == other.tobytes()
        np.testing.assert_allclose(one, kept, rtol=1e-4, atol=1e-6)
    assert streamed.train_loss == pytest.approx(report.train_loss, rel=1e-4)
    monkeypatch.setattr("tfunlearn.federated.averaging._StreamingRounds.__call__", _no_streaming)
    with pytest.raises(AssertionError, match="streamed"):
        mean(state, cohort)
    median = AveragingRounds(
        work, engine=engine, seed=5, aggregator=Aggregator("median", 1), clients=3
    )
    median(state, cohort)


def _no_streaming(*_):
    raise AssertionError("streamed")
