"""Updates of two clients for a table of bits, written to a file by whichever engine and TensorFlow runs this.

Usage: one_update.py ENGINE FILE. The initial weights and the data come from NumPy, so that every release starts alike.
"""

from __future__ import annotations

import sys

import numpy as np

from tfunlearn.core import compute
from tfunlearn.core.clients import ClientSet
from tfunlearn.engines import choose_engine
from tfunlearn.federated import GatheringRounds
from tfunlearn.local_training.client_work import ClientTraining, ClientWork
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.models import build_model

MODELS = {
    "LeNet-5": ("lenet5", {}),
    "MLP": ("mlp", {}),
    "ResNet-20, group norm": ("resnet20", {"norm": "group"}),
    "ResNet-20, batch norm": ("resnet20", {"norm": "batch"}),
}


def updates(engine) -> dict[str, np.ndarray]:
    """Return the stack of both clients' updates `(2, d)` of each model."""
    found = {}
    for title, (name, settings) in MODELS.items():
        model = build_model(name, (28, 28, 1), 10, seed=0, **settings)
        rng = np.random.default_rng(1)
        weights = [
            np.ones_like(w)
            if w.ndim == 1 and w.all()
            else rng.normal(0, np.sqrt(2 / max(1, np.prod(w.shape[:-1]))), w.shape).astype("f")
            if w.ndim > 1
            else w
            for w in model.get_weights()
        ]
        model.set_weights(weights)
        clients = ClientSet(
            rng.integers(0, 256, (48, 28, 28, 1), np.uint8),
            rng.integers(0, 10, 48).astype(np.int32),
            np.array([0, 20, 48]),
        )
        work = ClientWork(model, ClientTraining("adam", local_epochs=1, batch_size=16))
        cohort = Cohort(1, np.arange(2), clients, np.ones(2))
        found[title] = GatheringRounds(work, engine=engine, seed=0).gather(weights, cohort).stack
    return found


if __name__ == "__main__":
    compute.prepare()
    chosen = choose_engine(sys.argv[1])
    with chosen.at_work():
        np.savez(sys.argv[2], **updates(chosen))
