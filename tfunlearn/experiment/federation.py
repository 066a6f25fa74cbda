"""Sets up what a run needs, from its configuration: data, clients, attackers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from tfunlearn.attacks import choose_malicious, poison
from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.schedules import between
from tfunlearn.core.seeds import generator
from tfunlearn.datasets import PARTITIONS, ImageData, check_partition, load
from tfunlearn.experiment.config import DataConfig, RunConfig
from tfunlearn.federated.cohort import Cohort, participants


def load_data(config: DataConfig, seed: int) -> ImageData:
    """Loads the data set, cut to `train_examples` if that is set."""
    data = load(config.dataset, config.data_dir)
    if config.train_examples is None:
        return data
    if config.train_examples > len(data.labels):
        raise UserError(f"train_examples: {config.train_examples} is not allowed; {data.name} has "
                        f"{len(data.labels)} training examples")
    return data.subset(config.train_examples, generator(seed, "training subset"))


def split(data: ImageData, config: DataConfig, seed: int) -> list[np.ndarray]:
    """Returns the training examples of each client, as rows of `data`."""
    require("clients", config.clients, config.clients is None
            or config.clients <= len(data.labels),
            f"at most one per training example ({len(data.labels)})")
    options = {"dirichlet": {"alpha": config.alpha},
               "classes": {"per_client": config.classes_per_client}}
    parts = PARTITIONS[config.partition](
        data, clients=config.clients, rng=generator(seed, "partition"),
        **options.get(config.partition, {}))
    check_partition(parts, len(data.labels))
    return parts


def _with_client_count(config: RunConfig, data: ImageData) -> RunConfig:
    """Makes every writer of a writers partition a client, unless a number was asked for."""
    if config.data.clients is not None or data.writers is None:
        return config
    clients = len(np.unique(data.writers))
    return dataclasses.replace(config, data=dataclasses.replace(config.data, clients=clients))


@dataclass(frozen=True)
class Federation:
    """The clients of a run, and who among them attacks when.

    Attributes:
        config: the run's configuration, the number of clients filled in.
        data: the data set.
        parts: rows of `data` of each client.
        clients: the honest client set.
        poisoned: the client set while the attack is on.
        malicious: ids of the malicious clients.
    """

    config: RunConfig
    data: ImageData
    parts: list[np.ndarray]
    clients: ClientSet
    poisoned: ClientSet
    malicious: np.ndarray

    @classmethod
    def of(cls, config: RunConfig) -> Federation:
        """Loads, splits and poisons the data.

        Raises:
            UserError: the data cannot be had or split, or the attack names a missing class.
        """
        data = load_data(config.data, config.seed)
        config, attack = _with_client_count(config, data), config.attack
        for field in ("source", "target"):
            if not 0 <= getattr(attack, field) < data.classes:
                raise UserError(f"{field}: {getattr(attack, field)} is no class of {data.name}; "
                                f"allowed is 0 to {data.classes - 1}")
        parts = split(data, config.data, config.seed)
        clients = ClientSet.from_partition(data.images, data.labels, parts)
        malicious = choose_malicious(
            len(clients), config.malicious_count, generator(config.seed, "malicious"))
        poisoned = clients if not len(malicious) else poison(
            clients, malicious, attack.attack, source=attack.source, target=attack.target)
        return cls(config, data, parts, clients, poisoned, malicious)

    @property
    def poisoned_examples(self) -> int:
        """Number of training examples that the attack changes."""
        return int((self.poisoned.labels != self.clients.labels).sum())

    def attacked(self, round_number: int) -> bool:
        """Tells whether the attack is on in a round."""
        attack = self.config.attack
        return bool(len(self.malicious)) and between(
            attack.attack_start, attack.attack_stop)(round_number)

    def cohort(self, round_number: int) -> Cohort:
        """Returns who takes part in a round, with which data."""
        config = self.config
        ids = participants(len(self.clients), config.participants, seed=config.seed,
                           round_number=round_number)
        if not self.attacked(round_number):
            return Cohort(round_number, ids, self.clients, np.ones(len(ids)))
        boosts = np.where(np.isin(ids, self.malicious), config.attack.boost, 1.0)
        return Cohort(round_number, ids, self.poisoned, boosts)
