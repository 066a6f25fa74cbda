"""The same clients in Flower's simulation (Ray, PyTorch), without attack or defense.

Usage: flower.py MODEL CLIENTS. Each client loads the weights, trains two epochs with Adam and sends its weights.
"""

from __future__ import annotations

import sys

sys.argv = [sys.argv[0], "loop", *sys.argv[1:]]

import os  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from flwr.client import ClientApp, NumPyClient  # noqa: E402
from flwr.common import ndarrays_to_parameters  # noqa: E402
from flwr.server import ServerApp, ServerAppComponents, ServerConfig  # noqa: E402
from flwr.server.strategy import FedAvg  # noqa: E402
from flwr.simulation import run_simulation  # noqa: E402
from protocol import BATCH, EPOCHS, EXAMPLES, RATE, examples  # noqa: E402
from torch.nn import functional  # noqa: E402

os.environ["RAY_DEDUP_LOGS"] = "0"
CLIENTS = int(sys.argv[3])
answer, questions = os.fdopen(os.dup(1), "w"), sys.stdin
os.dup2(2, 1)  # Flower and Ray log to stdout too


def lenet5():
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def client_fn(context):
    torch.set_num_threads(1)
    number = int(context.node_config["partition-id"])
    images, labels = examples(CLIENTS, (28, 28, 1))
    rows = slice(number * EXAMPLES, (number + 1) * EXAMPLES)
    x = torch.from_numpy(images[rows].astype(np.float32) / 255).permute(0, 3, 1, 2)
    y = torch.from_numpy(labels[rows].astype(np.int64))

    class Client(NumPyClient):
        def fit(self, parameters, config):
            model = lenet5()
            keys = model.state_dict().keys()
            model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in zip(keys, parameters)})
            optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
            for _ in range(EPOCHS):
                order = torch.randperm(EXAMPLES)
                for first in range(0, EXAMPLES, BATCH):
                    own = order[first : first + BATCH]
                    optimizer.zero_grad(set_to_none=True)
                    functional.cross_entropy(model(x[own]), y[own]).backward()
                    optimizer.step()
            return [v.numpy() for v in model.state_dict().values()], EXAMPLES, {}

    return Client().to_client()


class Asked(FedAvg):
    """FedAvg that waits for a line before each round, and says when the round is done."""

    def configure_fit(self, *args, **kwargs):
        if not questions.readline():
            os._exit(0)
        return super().configure_fit(*args, **kwargs)

    def aggregate_fit(self, *args, **kwargs):
        found = super().aggregate_fit(*args, **kwargs)
        print("done", file=answer, flush=True)
        return found


def server_fn(context):
    start = [v.numpy() for v in lenet5().state_dict().values()]
    strategy = Asked(
        fraction_fit=1.0,
        fraction_evaluate=0.0,
        min_fit_clients=CLIENTS,
        min_available_clients=CLIENTS,
        initial_parameters=ndarrays_to_parameters(start),
    )
    print("ready", file=answer, flush=True)
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=1000))


run_simulation(
    server_app=ServerApp(server_fn=server_fn),
    client_app=ClientApp(client_fn=client_fn),
    num_supernodes=CLIENTS,
    backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
)
