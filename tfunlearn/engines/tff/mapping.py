"""The work of clients as one TFF computation, called for a few clients at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfunlearn.core.lazy import tff
from tfunlearn.core.parallel import cores
from tfunlearn.engines.engine import Results
from tfunlearn.engines.tff.pool import spread, worker_count
from tfunlearn.engines.tff.types import client_type
from tfunlearn.local_training.tracing import TracedWork

CHUNK_BYTES = 2**23  # results of one call, which are copied several times on their way
MOST_BYTES = 2**28  # the same for large results, where each core takes one
PIECES_EACH = 3  # pieces of a round's clients per worker, if there are several workers


def client_map(work: TracedWork) -> Callable[..., Results]:
    """Return `(*given, clients) -> results` as `Engine.mapper` does; the workers share them."""
    compute = _computation(work)

    def run(*values: Any) -> Results:
        *given, clients = values
        chunk = _chunk(len(clients), max(1, work.result_bytes))
        pieces = [clients[first : first + chunk] for first in range(0, len(clients), chunk)]
        for place, results in spread(lambda piece: compute(given, list(piece)), pieces):
            yield from enumerate(results, start=place * chunk)

    return run


def _chunk(clients: int, size: int) -> int:
    """Return the number of clients per call, for results of `size` bytes.

    As many as give `CHUNK_BYTES`; of large ones as many as there are cores, as long as they give no
    more than `MOST_BYTES`; and few enough that each of several workers gets several pieces.
    """
    workers = worker_count()
    share = clients if workers == 1 else -(-clients // (PIECES_EACH * workers))
    fitting = max(CHUNK_BYTES // size, min(cores(), MOST_BYTES // size))
    return max(1, min(fitting, share))


def _computation(work: TracedWork) -> Callable[..., Any]:
    """Return the TFF computation `(given, clients) -> result of each client`."""
    one_client = client_type(work.client)
    all_given = tff.to_type([tff.types.tensorflow_to_type(spec) for spec in work.given])

    @tff.tensorflow.computation(all_given, one_client)
    def work_of_one(given, client):
        return work(*given, client)

    @tff.federated_computation(
        tff.FederatedType(all_given, tff.SERVER), tff.FederatedType(one_client, tff.CLIENTS)
    )
    def work_of_all(given, clients):
        return tff.federated_map(work_of_one, (tff.federated_broadcast(given), clients))

    return work_of_all
