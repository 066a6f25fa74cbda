"""Engines: the choice, the contract of `Engine.mapper`, and bits that do not depend on who works."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from tfunlearn.config.reading import run_config
from tfunlearn.core import compute
from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError
from tfunlearn.core.parallel import in_order, threads
from tfunlearn.core.vectors import to_vector
from tfunlearn.engines import choose_engine, tff_is_usable, using_engine
from tfunlearn.engines.tensorflow import TensorFlowEngine
from tfunlearn.federated import AveragingRounds, GatheringRounds
from tfunlearn.local_training.client_work import ClientTraining, ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.local_training.state import ServerState
from tfunlearn.local_training.tracing import TracedWork
from tfunlearn.models import build_model
from tfunlearn.training.engine import engine_of


def released(monkeypatch, version):
    known = importlib.metadata.version

    def found(package):
        if package == "tensorflow" and version == "0.87.0":
            return "2.14.1"
        if package != "tensorflow-federated":
            return known(package)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(package)
        return version

    monkeypatch.setattr(importlib.metadata, "version", found)


@pytest.mark.parametrize("version, usable", [(None, False), ("0.33.0", False), ("0.87.0", True)])
def test_auto_takes_tff_where_a_release_it_can_use_is_installed(monkeypatch, version, usable):
    released(monkeypatch, version)
    assert tff_is_usable() == usable
    assert choose_engine().name == ("tff" if usable else "tensorflow")
    assert choose_engine("tensorflow").name == "tensorflow"
    if not usable:
        with pytest.raises(UserError, match="engine: tff needs TensorFlow Federated 0.87"):
            choose_engine("tff")
        with pytest.raises(UserError, match="engine: tff needs"), using_engine("tff"):
            pass


def test_a_named_engine_wins_inside_the_block(monkeypatch):
    released(monkeypatch, "0.87.0")
    with using_engine("tensorflow"):
        assert engine_of(run_config(engine="tff")).name == "tensorflow"
        with using_engine(None):
            assert engine_of(run_config()).name == "tensorflow"
        with using_engine("tff"):
            assert engine_of(run_config(engine="tensorflow", clients_at_once=2)).name == "tff"
    assert engine_of(run_config()).name == choose_engine().name == "tff"
    assert choose_engine(clients_at_once=2).name == "tensorflow"  # auto: what can do it
    with pytest.raises(UserError, match="engine: .*'tensorflo'"):
        choose_engine("tensorflo")
    with pytest.raises(UserError, match="clients_at_once: .*engine tff; got 2"):
        choose_engine("tff", clients_at_once=2)
    with pytest.raises(UserError, match="worker: .*engine tensorflow; got a:1"):
        TensorFlowEngine().at_work(workers=["a:1"]).__enter__()


def test_every_client_gets_what_it_should_once(engine):
    def work(shared, client):
        return shared * tf.cast(client["id"], tf.float32), client["id"] + 1

    traced = TracedWork(work, [tf.TensorSpec([2])], {"id": tf.TensorSpec([], tf.int32)})
    clients = [{"id": np.int32(number)} for number in (5, 3, 9, 0, 4)]
    found = dict(engine.mapper(traced)(np.array([1, 2], np.float32), clients))
    assert sorted(found) == [0, 1, 2, 3, 4]
    for place, (scaled, after) in found.items():
        number = clients[place]["id"]
        np.testing.assert_array_equal(scaled, [number, 2 * number])
        assert after == number + 1
    assert dict(engine.mapper(traced)(np.array([1, 2], np.float32), [])) == {}


def test_results_are_in_order_and_few_wait():
    running, most, lock = [], [], threading.Lock()

    def work(number):
        with lock:
            running.append(number)
            most.append(len(running))
        time.sleep(0.002 * (number % 3))
        with lock:
            running.remove(number)
        return number

    drawn = []
    results = in_order(work, (drawn.append(n) or n for n in range(30)), at_once=3)
    assert next(results) == 0 and len(drawn) == 6
    assert list(results) == list(range(1, 30)) and max(most) <= 3


def test_an_error_ends_the_others_and_comes_out():
    begun = []

    def work(number):
        begun.append(number)
        if number == 2:
            raise ValueError("no")
        return number

    results = in_order(work, range(1000), at_once=2)
    with pytest.raises(ValueError, match="no"):
        list(results)
    assert len(begun) < 20 and threading.active_count() < 10


def test_calls_on_threads_that_stay_are_waited_for():
    """After an error nothing runs or waits, and the threads work again."""
    running, ended = threading.Event(), []

    def work(number):
        if number == 0:
            running.wait()
            raise ValueError("no")
        running.set()
        time.sleep(0.05)
        ended.append(number)
        return number

    with threads(2) as pool:
        with pytest.raises(ValueError, match="no"):
            list(in_order(work, range(100), at_once=2, pool=pool))
        before = list(ended)
        time.sleep(0.1)
        assert ended == before and 1 in ended
        results = in_order(work, range(1, 100), at_once=2, pool=pool)
        assert next(results) == 1
        results.close()
        before = list(ended)
        time.sleep(0.1)
        assert ended == before
        assert list(in_order(work, (5, 6, 7), at_once=2, pool=pool)) == [5, 6, 7]


def test_entries_of_another_type_are_refused(engine):
    """Pixels of 0 to 1 in float32 are no bytes."""
    spec = {"images": tf.TensorSpec([None, 2], tf.uint8)}
    given = [tf.TensorSpec([1])]
    work = TracedWork(lambda shared, client: (tf.reduce_max(client["images"]),), given, spec)
    run, one = engine.mapper(work), np.ones(1, np.float32)
    assert dict(run(one, [{"images": np.full((3, 2), 9, np.uint8)}])) == {0: (9,)}
    with pytest.raises((TypeError, tf.errors.InvalidArgumentError), match="uint8"):
        list(run(one, [{"images": np.full((3, 2), 0.9, np.float32)}]))
    with pytest.raises(ValueError, match="same shape for every client"):
        TracedWork(lambda shared, client: (client["images"] * 2,), given, spec)


def a_round(engine):
    """A round of ten clients of unequal sizes with Dropout-free LeNet-5 and Adam."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(5, 40, 10)
    clients = ClientSet(
        rng.integers(0, 256, (sizes.sum(), 28, 28, 1), np.uint8),
        rng.integers(0, 10, sizes.sum()).astype(np.int32),
        np.concatenate([[0], np.cumsum(sizes)]),
    )
    model = build_model("lenet5", (28, 28, 1), 10, seed=0)
    work = ClientWork(model, ClientTraining("adam", batch_size=8))
    cohort = Cohort(1, np.arange(10), clients, np.ones(10))
    gathered = GatheringRounds(work, engine=engine, seed=3).gather(model.get_weights(), cohort)
    averaged, _ = AveragingRounds(work, engine=engine, seed=3)(
        ServerState(model.get_weights()), cohort
    )
    return gathered, averaged, model


def test_bits_do_not_depend_on_the_number_of_clients_at_once():
    rounds = [a_round(TensorFlowEngine(count)) for count in (1, 2, 4)]
    assert compute.threads_inside() == 1
    for gathered, averaged, _ in rounds[1:]:
        assert gathered.stack.tobytes() == rounds[0][0].stack.tobytes()
        assert to_vector(averaged.weights).tobytes() == to_vector(rounds[0][1].weights).tobytes()


def test_the_streamed_mean_has_the_bits_of_the_gathered_one():
    gathered, averaged, model = a_round(TensorFlowEngine(2))
    from tfunlearn.aggregation import mean

    expected = to_vector(model.get_weights()) + mean(gathered.stack, weights=gathered.examples)
    assert to_vector(averaged.weights).tobytes() == expected.tobytes()


def test_tff_gives_the_same_updates_up_to_last_bits():
    if not tff_is_usable():
        pytest.skip("TensorFlow Federated is not installed")
    tff, plain = choose_engine("tff"), TensorFlowEngine()
    with tff.at_work():
        there = a_round(tff)[0]
    here = a_round(plain)[0]
    np.testing.assert_allclose(there.stack, here.stack, rtol=0, atol=2e-4)
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-4)


def test_a_worker_gets_one_thread_also_from_a_process_that_has_set_nothing():
    """Here the variable is set for all tests, so that another process tells."""
    code = (
        "from tfunlearn.core import compute\ncompute.prepare()\nprint(compute.environment())\n"
        "import sys\nassert 'tensorflow' not in sys.modules"
    )
    unset = {k: v for k, v in os.environ.items() if k not in (compute.THREADS, compute.ONEDNN)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=unset)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str({compute.THREADS: "1", compute.ONEDNN: "1"})


def test_tensorflow_under_another_name_is_found(monkeypatch):
    def found(package):
        if package == "tensorflow-cpu":
            return "2.20.0"
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", found)
    assert TensorFlowEngine().versions()["tensorflow"] == "2.20.0"


def test_an_abandoned_iteration_begins_no_more_calls():
    begun = []
    results = in_order(lambda n: begun.append(n) or n, range(1000), at_once=2)
    assert next(results) == 0
    results.close()
    assert len(begun) < 10


def test_clients_in_turn_are_each_like_alone(monkeypatch):
    """Clients of different lengths, several of them in one call of TensorFlow."""

    def work(shared, client):
        return shared * tf.reduce_sum(client["values"]), tf.size(client["values"]) + client["id"]

    entries = {"id": tf.TensorSpec([], tf.int32), "values": tf.TensorSpec([None], tf.float32)}
    traced = TracedWork(work, [tf.TensorSpec([2])], entries)
    sizes = [3, 0, 1, 5, 2, 4, 1, 1, 2]
    clients = [
        {"id": np.int32(10 * place), "values": np.arange(size, dtype=np.float32)}
        for place, size in enumerate(sizes)
    ]
    shared = np.array([1, -2], np.float32)
    scaled, counted = traced.in_turn(shared, clients)
    sums = np.array([size * (size - 1) / 2 for size in sizes])
    np.testing.assert_array_equal(scaled, sums[:, None] * shared)
    np.testing.assert_array_equal(counted, [10 * k + size for k, size in enumerate(sizes)])

    monkeypatch.setattr("tfunlearn.engines.tensorflow.engine.CALLS_EACH", 1)
    # a client has 4 bytes, 4 for each value, and 12 for its results: 28, 16, 20, 36, 24, 32, 20, 20, 24
    limited = [1, 2, 1, 1, 1, 2, 1]
    for at_once, most, calls in (1, 2**22, [9]), (2, 2**22, [4, 4, 1]), (1, 40, limited):
        monkeypatch.setattr("tfunlearn.engines.tensorflow.engine.CALL_BYTES", most)
        seen = []
        monkeypatch.setattr(
            TracedWork,
            "in_turn",
            property(lambda self: lambda given, some: seen.append(len(some)) or [[0] * len(some)]),
        )
        found = TensorFlowEngine(at_once).mapper(traced)(shared, clients)
        assert [place for place, _ in found] == list(range(9))
        assert sorted(seen) == sorted(calls)
