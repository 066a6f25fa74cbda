"""The configuration of a run: one tree of frozen dataclasses, one flat file, one validation.

Field names are unique over the whole tree, so that the file, the command line and Python all use
the same flat words: `attack_start` is a field, a key of the file and the flag `--attack-start`.
`config_reading` makes a tree from flat words.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

from tfunlearn.attacks import ATTACKS
from tfunlearn.core.errors import choose, require, require_count_or_fraction
from tfunlearn.datasets import DATASETS, PARTITIONS
from tfunlearn.defenses import DEFENSES
from tfunlearn.federated.client_work import OPTIMIZERS, ClientTraining
from tfunlearn.models import check_model

DEFAULT_CLIENTS = 10


def option(default, help: str):
    """Declares a field with the help text that the command line shows."""
    return dataclasses.field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class DataConfig:
    """What data there are and how they are spread over clients."""

    dataset: str = option("digits", f"Data set: {', '.join(DATASETS)}.")
    data_dir: str = option("data", "Folder of data sets on disk; new ones are downloaded to it.")
    train_examples: int | None = option(None, "Use only so many training examples, at random.")
    clients: int | None = option(None, f"Number of clients; {DEFAULT_CLIENTS} if not given, or "
                                 "one per writer in the writers partition.")
    partition: str = option("iid", f"How examples are spread: {', '.join(PARTITIONS)}.")
    alpha: float = option(0.5, "Concentration of the dirichlet partition.")
    classes_per_client: int = option(1, "Classes each client holds in the classes partition.")

    def __post_init__(self):
        choose("dataset", self.dataset, DATASETS)
        choose("partition", self.partition, PARTITIONS)
        if self.clients is None and self.partition != "writers":
            object.__setattr__(self, "clients", DEFAULT_CLIENTS)
        require("clients", self.clients, self.clients is None or self.clients >= 1, "at least 1")
        require("alpha", self.alpha, 1e-3 <= self.alpha <= 1e6, "a number from 0.001 to 1e6")
        require("classes_per_client", self.classes_per_client, self.classes_per_client >= 1,
                "at least 1")
        require("train_examples", self.train_examples,
                self.train_examples is None or self.train_examples >= (self.clients or 1),
                f"at least one per client ({self.clients})")


@dataclass(frozen=True)
class ModelConfig:
    """Which net is trained."""

    model: str = option("lenet5", "Model by name (see `tfunlearn models`), or a .keras file.")
    norm: str | None = option(None, "Norm layer, batch or group, where the net has one.")

    def __post_init__(self):
        check_model(self.model, self.norm)


@dataclass(frozen=True)
class TrainingConfig:
    """The federated training itself."""

    rounds: int = option(30, "Number of rounds.")
    participation: int | float = option(1.0, "Clients in a round: a count, or a fraction.")
    optimizer: str = option("adam", f"Client optimizer: {', '.join(OPTIMIZERS)}.")
    lr: float = option(1e-3, "Client learning rate.")
    local_epochs: int = option(2, "Passes of a client over its examples in a round.")
    batch_size: int = option(32, "Examples in a local step.")
    gather: bool = option(False, "Gather every update on the server instead of averaging in TFF.")

    def __post_init__(self):
        choose("optimizer", self.optimizer, OPTIMIZERS)
        for name in ("rounds", "local_epochs", "batch_size"):
            require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        require("lr", self.lr, 0 < self.lr <= 1000, "a number > 0, at most 1000")
        require("local_epochs", self.local_epochs, self.local_epochs <= 1000, "at most 1000")
        require_count_or_fraction("participation", self.participation)
        require("participation", self.participation, self.participation > 0, "more than 0")

    @property
    def client(self) -> ClientTraining:
        """The local training of a client."""
        return ClientTraining(self.optimizer, self.lr, self.local_epochs, self.batch_size)


@dataclass(frozen=True)
class AttackConfig:
    """Who attacks, how and when."""

    attack: str = option("none", f"Attack of the malicious clients: {', '.join(ATTACKS)}.")
    malicious: int | float = option(0.4, "Malicious clients: a count, or a fraction.")
    source: int = option(1, "Class that label-flip relabels.")
    target: int = option(7, "Class that label-flip turns it into.")
    attack_start: int = option(1, "First round of the attack.")
    attack_stop: int | None = option(None, "Last round of the attack; none: the last round.")
    boost: float = option(1.0, "Factor of a malicious update.")

    def __post_init__(self):
        choose("attack", self.attack, ATTACKS)
        require_count_or_fraction("malicious", self.malicious)
        require("boost", self.boost, abs(self.boost) <= 1e6, "a number from -1e6 to 1e6")
        require("attack_start", self.attack_start, self.attack_start >= 1, "at least 1")
        require("attack_stop", self.attack_stop,
                self.attack_stop is None or self.attack_stop >= self.attack_start,
                f"at least attack_start ({self.attack_start})")
        require("target", self.target, self.attack == "none" or self.source != self.target,
                f"a class other than source ({self.source})")


@dataclass(frozen=True)
class DefenseConfig:
    """What the server does against it."""

    defense: tuple[str, ...] = option((), f"Defense, may be repeated: {', '.join(DEFENSES)}.")
    prune_fraction: float = option(0.01, "Share of filters and units that flap prunes.")
    prune_start: int = option(1, "First round after which flap prunes.")
    prune_every: int = option(5, "Rounds from one pruning to the next.")
    include_residual: bool = option(True, "Let flap prune inside residual blocks too.")

    def __post_init__(self):
        for name in self.defense:
            choose("defense", name, DEFENSES)
        require("prune_fraction", self.prune_fraction, 0 < self.prune_fraction < 1,
                "0 < prune_fraction < 1")
        require("prune_start", self.prune_start, self.prune_start >= 1, "at least 1")
        require("prune_every", self.prune_every, self.prune_every >= 1, "at least 1")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    attack: AttackConfig = dataclasses.field(default_factory=AttackConfig)
    defense: DefenseConfig = dataclasses.field(default_factory=DefenseConfig)
    seed: int = option(0, "Seed of everything that is drawn at random.")

    def __post_init__(self):
        require("seed", self.seed, self.seed >= 0, "at least 0")
        for field in ("malicious", "participation"):
            self._check_count(field)

    @property
    def malicious_count(self) -> int:
        """Number of malicious clients; 0 without an attack."""
        if self.attack.attack == "none":
            return 0
        return _count(self.attack.malicious, self.data.clients)

    @property
    def participants(self) -> int:
        """Number of clients in a round."""
        return _count(self.training.participation, self.data.clients)

    def flat(self) -> dict:
        """Returns all fields under their flat names, as they go into a file."""
        return {name: list(value) if isinstance(value, tuple) else value
                for name, value in leaves(self)}

    def _check_count(self, field: str) -> None:
        value = dict(leaves(self))[field]
        clients = self.data.clients
        require(field, value, isinstance(value, float) or clients is None or value <= clients,
                f"at most the number of clients ({clients})")


def leaves(config: RunConfig) -> Iterator[tuple[str, object]]:
    """Gives every field of the tree with its value."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from ((leaf.name, getattr(value, leaf.name))
                        for leaf in dataclasses.fields(value))
        else:
            yield field.name, value


def _count(value: int | float, clients: int) -> int:
    if isinstance(value, float):
        return min(clients, max(1, math.floor(value * clients + 0.5))) if value else 0
    return value
