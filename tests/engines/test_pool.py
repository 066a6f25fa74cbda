"""Workers that share pieces of work and die in every order; no TFF needed."""

from __future__ import annotations

import itertools
import queue
import threading

import pytest

from tfunlearn.core.errors import UserError, WorkerError
from tfunlearn.engines.tff import pool as pool_module
from tfunlearn.engines.tff.pool import WorkerPool, spread, worker_count


class Scripted(pool_module._Remote):
    """A worker that completes a given number of pieces and dies in the next one."""

    def __init__(self, address, pieces, others):
        super().__init__(address)
        self.left, self.others, self.dead = pieces, others, False

    def answers(self):
        return not self.dead

    def work(self, function, left, done):
        with self._lock:
            while True:
                try:
                    place, piece = left.get_nowait()
                except queue.Empty:
                    return
                if self.dead or self.left == 0:
                    self.dead = True
                    left.put((place, piece))
                    done.put((self, place, WorkerError(self.address)))
                    return
                self.left -= 1
                done.put((self, place, function(piece)))


def made(*pieces):
    pool = object.__new__(WorkerPool)
    pool.workers = []
    pool.workers += [
        Scripted(f"host:{n + 1}", count, pool.workers) for n, count in enumerate(pieces)
    ]
    return pool


@pytest.mark.filterwarnings("ignore:worker host")
@pytest.mark.parametrize("pieces", itertools.product([0, 1, 2, 99], repeat=3))
def test_every_piece_is_done_once_or_it_says_that_nobody_is_left(pieces, monkeypatch):
    monkeypatch.setattr(pool_module, "_ANSWER_SECONDS", 0.05)
    found, ended = [], []

    def run():
        try:
            found.extend(made(*pieces).map(lambda piece: piece * 10, range(5)))
        except WorkerError as error:
            ended.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits for ever"
    if sum(pieces) >= 5:
        assert sorted(found) == [(n, 10 * n) for n in range(5)] and not ended
    else:
        assert len(ended) == 1 and "no worker is left of host:1, host:2, host:3" in ended[0]
        assert len({place for place, _ in found}) == len(found) == sum(pieces)


def test_a_dead_worker_is_left_alone_for_a_while(monkeypatch):
    worker, asked = made(0).workers[0], []
    worker.answers = lambda: bool(asked.append(1))
    with pytest.warns(UserWarning, match="host:1 died or does not answer"):
        assert not worker.is_back()
    assert not worker.is_back() and asked == [1]
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: worker._rests + 1)
    worker.answers = lambda: True
    assert worker.is_back()


def test_an_error_of_the_work_itself_comes_through():
    def broken(piece):
        raise ZeroDivisionError

    pool = made(99)
    pool.workers[0].work = lambda function, left, done: done.put(
        (pool.workers[0], 0, ZeroDivisionError())
    )
    with pytest.raises(ZeroDivisionError):
        list(pool.map(broken, [1]))


@pytest.mark.parametrize(
    "address", ["8000", "a:b", ":1", "a:0", "a:99999", "http://a:1", "::1:80", "a b:1", "[::1:80"]
)
def test_addresses_that_are_none(address):
    with pytest.raises(UserError, match="host:port"):
        pool_module._Remote(address)


def test_addresses():
    assert pool_module._Remote("[::1]:80")._host == "::1"
    assert pool_module._Remote("a.example:8000")._port == 8000


def test_without_workers_pieces_are_done_here():
    assert worker_count() == 1
    assert list(spread(lambda piece: piece + 1, [1, 2])) == [(0, 2), (1, 3)]
