"""A round of `tfunlearn train --attack label-flip --defense flap`, pruning every round, on an engine.

Usage: ours.py ENGINE MODEL CLIENTS [AT_ONCE]; ENGINE is `tff`, `tensorflow`, or `before` for builds without engines.
"""

from __future__ import annotations

import contextlib
import sys

import numpy as np
from protocol import BATCH, EPOCHS, EXAMPLES, RATE, examples, serve

from tfunlearn.attacks import label_flip, poison
from tfunlearn.core.clients import ClientSet
from tfunlearn.core.schedules import every
from tfunlearn.defenses import Flap
from tfunlearn.federated import AveragingRounds
from tfunlearn.models import build_model

engine_name, name, clients = sys.argv[1], sys.argv[2], int(sys.argv[3])
if engine_name == "before":
    from tfunlearn.federated import local_worker
    from tfunlearn.federated.client_work import ClientTraining, ClientWork
    from tfunlearn.federated.cohort import Cohort
    from tfunlearn.federated.state import ServerState

    at_work, engine = local_worker, {}
else:
    from tfunlearn.core import compute
    from tfunlearn.engines import choose_engine
    from tfunlearn.local_training.client_work import ClientTraining, ClientWork
    from tfunlearn.local_training.cohort import Cohort
    from tfunlearn.local_training.state import ServerState

    compute.prepare()
    at_once = int(sys.argv[4]) if len(sys.argv) > 4 else None
    engine = {"engine": choose_engine(engine_name, clients_at_once=at_once)}
    at_work = engine["engine"].at_work

shape = (28, 28, 1) if name in ("lenet5", "mlp") else (32, 32, 3)
images, labels = examples(clients, shape)
poisoned = poison(
    ClientSet(images, labels, np.arange(clients + 1) * EXAMPLES),
    np.arange(clients // 5),
    lambda client, images, labels: (images, label_flip(labels, source=1, target=7)),
)
model = build_model(name, shape, 10)
training = ClientTraining(optimizer="adam", lr=RATE, local_epochs=EPOCHS, batch_size=BATCH)
flap = Flap(model, due=every(1)) if name == "lenet5" else None
run = AveragingRounds(ClientWork(model, training), seed=0, flap=flap, **engine)
state, number = ServerState(model.get_weights()), 0


def one_round() -> None:
    global state, number
    number += 1
    cohort = Cohort(number, np.arange(clients), poisoned, np.ones(clients))
    state, _ = run(state, cohort)


with at_work() or contextlib.nullcontext():
    serve(one_round)
