"""Data, clients and adversary of a run, built from its configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tfunlearn.attacks import choose_malicious, poison
from tfunlearn.attacks.poisoning import require_poisoned
from tfunlearn.config.run_config import DataConfig, RunConfig
from tfunlearn.config.threats import AggregationConfig, AttackConfig, DefenseConfig
from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError, require, require_real
from tfunlearn.core.features import differing_rows
from tfunlearn.core.history import HistoryPolicy
from tfunlearn.core.names import Names, names_of
from tfunlearn.core.schedules import between
from tfunlearn.core.seeds import generator
from tfunlearn.datasets import (
    PARTITIONS,
    LabeledData,
    check_partition,
    column,
    from_file,
    group,
    load,
    partition_kind,
)
from tfunlearn.local_training.client_work import ClientTraining
from tfunlearn.local_training.cohort import Cohort, participants


def load_data(config: DataConfig, seed: int, prepared: Mapping | None = None) -> LabeledData:
    """Load the data set, reduced to `train_examples` random examples if that is set.

    `prepared` is what a run stored of its data.
    """
    data = load(config.dataset, config.data_dir, config.own[0], prepared)
    if config.train_examples is None:
        return data
    if config.train_examples > len(data.labels):
        raise UserError(
            f"train_examples: must be at most {len(data.labels)}, the training examples of "
            f"{data.name}; got {config.train_examples}"
        )
    return data.subset(config.train_examples, generator(seed, "training subset"))


def split(
    data: LabeledData, config: DataConfig, seed: int
) -> tuple[list[np.ndarray], tuple[str, ...] | None]:
    """Return the training examples of each client, as rows of `data`, and the clients' names."""
    require(
        "clients",
        config.clients,
        config.clients is None or config.clients <= len(data.labels),
        f"at most one per training example ({len(data.labels)})",
    )
    kind, argument = partition_kind(config.partition)
    rng, names = generator(seed, "partition"), None
    if kind == "file":
        parts, names = from_file(data, path=argument)
        require(
            "clients",
            config.clients,
            config.clients in (None, len(parts)),
            f"left out, or {len(parts)}, the clients in {argument}",
        )
    elif kind == "column":
        parts, names = column(data, clients=config.clients, name=argument, rng=rng)
    elif kind == "group":
        parts = group(data, clients=_known(config.clients), p=float(argument), rng=rng)
    else:
        options = {
            "dirichlet": {
                "alpha": config.alpha,
                "min_examples": config.min_examples,
                "redraws": config.redraws,
            },
            "classes": {"per_client": config.classes_per_client},
            "quantity": {"sigma": config.quantity_sigma},
            "features": {"skew": config.feature_skew},
        }
        clients = config.clients
        if kind == "writers" and clients is None and data.writers is not None:
            clients = len(np.unique(data.writers))
        parts = PARTITIONS[kind](data, clients=clients, rng=rng, **options.get(kind, {}))
        if kind == "writers" and data.writers is not None and data.writers.dtype.kind == "U":
            names = _names_of(parts, data.writers)
    check_partition(
        parts, len(data.labels), disjoint=kind != "overlapping", least=config.min_examples
    )
    return parts, names


def _names_of(parts: list[np.ndarray], writers: np.ndarray) -> tuple[str, ...] | None:
    """Return the writer of each client, None if a client holds several."""
    found = [np.unique(writers[part]) for part in parts]
    return tuple(str(own[0]) for own in found) if all(len(own) == 1 for own in found) else None


def _known(clients: int | None) -> int:
    assert clients is not None  # only natural partitions count the clients themselves
    return clients


def _completed(config: RunConfig, data: LabeledData, clients: int) -> RunConfig:
    """Return the configuration with what only the data tell: the clients, source and target."""
    config = dataclasses.replace(config, attack=config.attack.on_classes(data.class_numbers()))
    if config.data.clients is not None:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, clients=clients))


@dataclass(frozen=True)
class Federation:
    """The clients of a run, with their data and the attack schedule.

    Attributes:
        config: the run's configuration, with the number of clients filled in.
        data: the data set, without the examples that the server holds back.
        held_back: the examples that the server holds back, or None.
        parts: rows of `data` of each client.
        clients: the client set without poisoning.
        poisoned: the client set while the attack is active.
        malicious: ids of the malicious clients.
        client_names: name of each client, such as the hospital; None where they are numbers.
    """

    config: RunConfig
    data: LabeledData
    held_back: LabeledData | None
    parts: list[np.ndarray]
    clients: ClientSet
    poisoned: ClientSet
    malicious: np.ndarray
    client_names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, config: RunConfig, prepared: Mapping | None = None) -> Federation:
        """Load, partition and poison the data.

        Args:
            config: the run's configuration.
            prepared: what the run stored of its data (`LabeledData.prepared`); default none.

        Raises:
            UserError: the data cannot be loaded or partitioned, or lack a class of the attack.
        """
        data, held_back = _hold_back(load_data(config.data, config.seed, prepared), config)
        parts, names = split(data, config.data, config.seed)
        config = _completed(config, data, len(parts))
        attack = config.attack
        if attack.on_data is not None:
            on_data, own = attack.on_data
            on_data.check(data.features, own)
            if on_data.takes == "tokens" and data.vocabulary is None:
                raise UserError(
                    f"attack: {on_data.name} needs token ids with a vocabulary; {data.name} has "
                    "whole numbers without one"
                )
        clients = ClientSet.from_partition(data.features, data.labels, parts)
        malicious = choose_malicious(
            len(clients), config.malicious_count, generator(config.seed, "malicious")
        )
        poisoned = (
            clients
            if not len(malicious) or not attack.on_data
            else poison(clients, malicious, _data_attack(config, data.classes, malicious))
        )
        return cls(config, data, held_back, parts, clients, poisoned, malicious, names)

    @property
    def names(self) -> Names:
        """Names of classes and clients."""
        return names_of(self.data.class_names, self.client_names)

    @property
    def client_training(self) -> ClientTraining:
        """The clients' local training."""
        return self.config.training.client

    @property
    def history(self) -> HistoryPolicy:
        """Which rounds are kept for unlearning."""
        return self.config.history

    @property
    def client_weights(self) -> str:
        """Weights of clients in a mean: `samples` or `uniform`."""
        return self.config.aggregation.client_weights

    @property
    def seed(self) -> int:
        """The run's seed, which decides the split and the malicious clients."""
        return self.config.seed

    @property
    def draws(self) -> int:
        """Seed of initial weights, shuffles and drawn clients."""
        return self.config.draws

    @property
    def attack(self) -> AttackConfig:
        """Who attacks, how and when."""
        return self.config.attack

    @property
    def model_name(self) -> str:
        """Name or file of the model that training began with."""
        return self.config.model.model

    @property
    def poisoned_examples(self) -> int:
        """Number of training examples that the attack changes."""
        return int(self.changed.sum())

    @property
    def changed(self) -> np.ndarray:
        """Mask of the training examples that the attack changes, bool `(N,)`."""
        changed = self.poisoned.labels != self.clients.labels
        return changed | differing_rows(self.poisoned.features, self.clients.features)

    def as_attackers_would(
        self, features: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return examples after the run's attack on data, as a malicious client would hold them."""
        attack = _data_attack(self.config, self.data.classes, self.malicious)
        return attack(len(self.clients), features, labels)

    @property
    def server_examples(self) -> ClientSet | None:
        """The examples that the server holds back, as a client set of one client, or None."""
        held = self.held_back
        return (
            None
            if held is None
            else ClientSet.from_partition(held.features, held.labels, [np.arange(len(held.labels))])
        )

    @property
    def participants(self) -> int:
        """Number of clients in a round."""
        return self.config.participants_of(len(self.clients.present))

    def without(self, forget_mask: np.ndarray) -> Federation:
        """Return the federation without the examples of a mask, bool `(N,)`.

        Client ids do not change; clients without examples no longer participate.
        """
        clients = self.clients.where(~forget_mask)
        poisoned = clients if self.poisoned is self.clients else self.poisoned.where(~forget_mask)
        return dataclasses.replace(
            self,
            clients=clients,
            poisoned=poisoned,
            malicious=np.intersect1d(self.malicious, clients.present),
        )

    def held(self, round_number: int) -> ClientSet:
        """Return the client set of a round, poisoned if the attack is active."""
        return self.poisoned if self.attacked(round_number) else self.clients

    def with_examples(
        self, mask: np.ndarray, features: np.ndarray, labels: np.ndarray, malicious: np.ndarray
    ) -> Federation:
        """Return the federation with the examples of a mask replaced.

        Args:
            mask: the examples to replace in `clients` and in `poisoned`, bool `(N,)`.
            features: the new features.
            labels: the new labels.
            malicious: ids of the malicious clients of the returned federation.
        """
        clients = self.clients.with_examples(mask, features, labels)
        poisoned = (
            clients
            if self.poisoned is self.clients
            else (self.poisoned.with_examples(mask, features, labels))
        )
        return dataclasses.replace(self, clients=clients, poisoned=poisoned, malicious=malicious)

    def undefended(self) -> Federation:
        """Return the federation under plain federated averaging, with the same client weights."""
        plain = AggregationConfig(client_weights=self.config.aggregation.client_weights)
        config = dataclasses.replace(self.config, aggregation=plain, defense=DefenseConfig())
        return dataclasses.replace(self, config=config)

    def attacked(self, round_number: int) -> bool:
        """Return whether the attack is active in a round."""
        attack = self.config.attack
        return bool(len(self.malicious)) and between(attack.attack_start, attack.attack_stop)(
            round_number
        )

    def cohort(
        self, round_number: int, ids: np.ndarray | None = None, *, seed: int | None = None
    ) -> Cohort:
        """Return the clients of a round with their data.

        Args:
            round_number: round, counted from 1.
            ids: client ids; default a sample of the clients that hold examples.
            seed: seed of the sampling; default the run's.
        """
        if ids is None:
            ids = participants(
                self.clients.present,
                self.participants,
                seed=self.config.draws if seed is None else seed,
                round_number=round_number,
            )
        if not self.attacked(round_number):
            return Cohort(round_number, ids, self.clients, np.ones(len(ids)))
        malicious = np.isin(ids, self.malicious)
        boosts = np.where(malicious, self._boost(len(ids), int(malicious.sum())), 1.0)
        return Cohort(round_number, ids, self.poisoned, boosts)

    def _boost(self, clients: int, malicious: int) -> float:
        attack = self.config.attack
        if attack.boost is not None or attack.boost_attack is None or not malicious:
            return 1.0 if attack.boost is None else attack.boost
        factor = attack.boost_attack.factor(clients, malicious)
        require_real(
            "attack",
            factor,
            lambda value: value > 0,
            f"a positive number as factor of {attack.boost_attack.name}",
        )
        return float(factor)


def _hold_back(data: LabeledData, config: RunConfig) -> tuple[LabeledData, LabeledData | None]:
    """Return the training data without the server's examples, and these, or None."""
    count = config.server_examples
    if not count:
        return data, None
    most = len(data.labels) - (config.data.clients or 1)
    require(
        "validation_examples",
        count,
        count <= most,
        f"at most {most}, so that every client keeps one of {len(data.labels)} examples",
    )
    return data.held_back(count, generator(config.seed, "validation"))


def _data_attack(config: RunConfig, count: int, malicious: np.ndarray) -> Callable:
    """Return the attack on data, `(client, features, labels) -> (features, labels)`."""
    assert config.attack.on_data is not None
    (attack, own), classes = config.attack.on_data, config.attack.classes

    def poison_examples(client: int, features: np.ndarray, labels: np.ndarray):
        rng = generator(config.seed, attack.name, client)
        number = [int(np.searchsorted(malicious, client))] if attack.takes_number else []
        found = attack.poison(features, labels, own, classes, rng, *number)
        return require_poisoned(attack.name, found, features, labels, classes=count)

    return poison_examples
