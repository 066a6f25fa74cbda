"""Configuration sections of data, model and training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tfunlearn.config.sections import Section
from tfunlearn.core.compute import MOST_THREADS as MOST
from tfunlearn.core.errors import choose, require, require_count_or_fraction
from tfunlearn.core.families import Family
from tfunlearn.core.fields import option
from tfunlearn.core.history import HistoryPolicy
from tfunlearn.datasets import DATASETS, PARTITIONS, partition_kind
from tfunlearn.datasets.partitions import WITH_ARGUMENT
from tfunlearn.engines import ENGINES
from tfunlearn.local_training.client_work import ClientTraining
from tfunlearn.local_training.optimizers import OPTIMIZERS
from tfunlearn.models import MODELS, is_model_file
from tfunlearn.models.precision import PRECISIONS

DEFAULT_CLIENTS = 10
NATURAL = ("writers", "column", "file")  # partitions that count the clients themselves


@dataclass(frozen=True)
class DataConfig(Section):
    """Data settings: the data set and its partition over the clients."""

    families: ClassVar[dict[str, Family]] = {"dataset": DATASETS}

    dataset: str = option("digits", "Data set.")
    data_dir: str = option("data", "Folder of data sets on disk; new ones are downloaded to it.")
    train_examples: int | None = option(
        None, "Number of training examples to use, drawn at random; none: all."
    )
    clients: int | None = option(
        None,
        f"Number of clients; {DEFAULT_CLIENTS} if not given, or "
        "one per natural client in the partitions writers, column:NAME and FILE.csv.",
    )
    partition: str = option(
        "iid",
        f"Partition of the examples among clients: {', '.join((*PARTITIONS, *WITH_ARGUMENT))}.",
    )
    alpha: float = option(0.5, "Concentration of the dirichlet partition.")
    classes_per_client: int = option(1, "Classes per client in the classes partition.")
    quantity_sigma: float = option(
        1.0, "Deviation of the logarithm of a client's size in the quantity partition."
    )
    feature_skew: float = option(
        1.0, "Share of the examples sorted by their features in the features partition, 0 to 1."
    )
    min_examples: int = option(1, "Fewest examples of a client.")
    redraws: int = option(
        10, "Further draws of the dirichlet partition until all clients have min_examples."
    )

    def __post_init__(self):
        super().__post_init__()
        kind, argument = partition_kind(self.partition)
        if kind == "file":
            object.__setattr__(self, "partition", argument)
        if self.clients is None and kind not in NATURAL:
            object.__setattr__(self, "clients", DEFAULT_CLIENTS)
        require("clients", self.clients, self.clients is None or self.clients >= 1, "at least 1")
        require(
            "quantity_sigma", self.quantity_sigma, 0 <= self.quantity_sigma <= 10, "from 0 to 10"
        )
        require("feature_skew", self.feature_skew, 0 <= self.feature_skew <= 1, "from 0 to 1")
        require("min_examples", self.min_examples, self.min_examples >= 1, "at least 1")
        require("redraws", self.redraws, 0 <= self.redraws <= 10**6, "from 0 to 1000000")
        require("alpha", self.alpha, 1e-3 <= self.alpha <= 1e6, "a number from 0.001 to 1e6")
        require(
            "classes_per_client",
            self.classes_per_client,
            self.classes_per_client >= 1,
            "at least 1",
        )
        require(
            "train_examples",
            self.train_examples,
            self.train_examples is None or self.train_examples >= (self.clients or 1),
            f"at least one per client ({self.clients})",
        )


@dataclass(frozen=True)
class ModelConfig(Section):
    """The model to train."""

    families: ClassVar[dict[str, Family]] = {"model": MODELS}

    model: str = option(
        "lenet5",
        "Model: a name, or a .keras or .h5 file; not given with a table: mlp, with text: text-cnn.",
    )

    def __post_init__(self):
        if not self.is_file:
            super().__post_init__()

    def chosen(self) -> list[tuple[Family, str]]:
        """Return family and name of the model; empty for a model file."""
        return [] if self.is_file else super().chosen()

    @property
    def is_file(self) -> bool:
        """Whether the model is a file."""
        return is_model_file(self.model)

    @property
    def settings(self) -> Any:
        """The model's own settings; None for a model file."""
        return self.own[0] if self.own else None


@dataclass(frozen=True)
class EngineConfig:
    """What runs the clients, and how."""

    engine: str = option(
        "auto",
        f"Engine that runs the clients: {', '.join(ENGINES)}; auto: TensorFlow Federated where it "
        "is installed.",
    )
    clients_at_once: int | None = option(
        None,
        "Clients that run at the same time (engine tensorflow); none: one per core, or one on a "
        "GPU. Does not change the result.",
    )
    threads_per_client: int = option(
        1, "Threads inside an operation, for large models with few clients; changes last bits."
    )
    precision: str = option(
        "float32",
        f"Arithmetic of local training: {', '.join(PRECISIONS)} (engine tensorflow, Keras 3).",
    )

    def __post_init__(self):
        choose("engine", self.engine, ENGINES)
        choose("precision", self.precision, PRECISIONS)
        for name in ("clients_at_once", "threads_per_client"):
            value = getattr(self, name)
            require(name, value, value is None or 1 <= value <= MOST, f"from 1 to {MOST}")


@dataclass(frozen=True)
class TrainingConfig:
    """Federated training settings."""

    rounds: int = option(30, "Number of rounds.")
    participation: int | float = option(1.0, "Clients per round: a count, or a fraction.")
    optimizer: str = option("adam", f"Client optimizer: {', '.join(OPTIMIZERS)}.")
    lr: float = option(1e-3, "Client learning rate.")
    local_epochs: int = option(2, "Local epochs per round.")
    batch_size: int = option(32, "Batch size of local training.")
    gather: bool | None = option(
        None,
        "Gather every update on the server instead of aggregating as they come in; none: if the "
        "rule is not the mean, or history is kept.",
    )
    history: str | None = option(
        None,
        "Rounds whose model and updates are kept for unlearning: "
        "last, all, every=K or none; if not given, last under attack.",
    )
    training_seed: int | None = option(
        None,
        "Seed of initial weights, shuffling and client sampling; none: seed, which also sets "
        "the partition and the attack.",
    )

    def __post_init__(self):
        choose("optimizer", self.optimizer, OPTIMIZERS)
        for name in ("rounds", "local_epochs", "batch_size"):
            require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        require("lr", self.lr, 0 < self.lr <= 1000, "a number > 0, at most 1000")
        require("local_epochs", self.local_epochs, self.local_epochs <= 1000, "at most 1000")
        require(
            "training_seed",
            self.training_seed,
            self.training_seed is None or self.training_seed >= 0,
            "at least 0",
        )
        if self.history is not None:
            HistoryPolicy.parse(self.history)
        require_count_or_fraction("participation", self.participation)
        require("participation", self.participation, self.participation > 0, "more than 0")

    @property
    def client(self) -> ClientTraining:
        """Hyperparameters of local training."""
        return ClientTraining(self.optimizer, self.lr, self.local_epochs, self.batch_size)
