"""The configuration of a run: one tree of frozen dataclasses, one flat file, one validation.

Field names are unique over the whole tree, so that the file, the command line and Python all use
the same flat words: `attack_start` is a field, a key of the file and the flag `--attack-start`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass

from tfunlearn.attacks import ATTACKS
from tfunlearn.core.errors import UserError, choose, nearest, require_fraction
from tfunlearn.datasets import DATASETS, PARTITIONS
from tfunlearn.defenses import DEFENSES
from tfunlearn.federated.client_work import OPTIMIZERS, ClientTraining
from tfunlearn.models import check_model

IGNORED_KEYS = ("versions",)  # written into a run's config.json, which can be read back


def option(default, help: str):
    """Declares a field with the help text that the command line shows."""
    return dataclasses.field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class DataConfig:
    """What data there are and how they are spread over clients."""

    dataset: str = option("digits", f"Data set: {', '.join(DATASETS)}.")
    data_dir: str = option("data", "Folder of data sets on disk; new ones are downloaded to it.")
    train_examples: int | None = option(None, "Use only so many training examples, at random.")
    clients: int = option(10, "Number of clients.")
    partition: str = option("iid", f"How examples are spread: {', '.join(PARTITIONS)}.")
    alpha: float = option(0.5, "Concentration of the dirichlet partition.")
    classes_per_client: int = option(1, "Classes each client holds in the classes partition.")

    def __post_init__(self):
        choose("dataset", self.dataset, DATASETS)
        choose("partition", self.partition, PARTITIONS)
        _require("clients", self.clients, self.clients >= 1, "at least 1")
        _require("alpha", self.alpha, 0 < self.alpha < math.inf, "a number > 0")
        _require("classes_per_client", self.classes_per_client, self.classes_per_client >= 1,
                 "at least 1")
        _require("train_examples", self.train_examples,
                 self.train_examples is None or self.train_examples >= self.clients,
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
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        _require("lr", self.lr, 0 < self.lr < math.inf, "a number > 0")
        _require_count_or_fraction("participation", self.participation)
        _require("participation", self.participation, self.participation > 0, "more than 0")

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
        _require_count_or_fraction("malicious", self.malicious)
        _require("boost", self.boost, math.isfinite(self.boost), "a finite number")
        _require("attack_start", self.attack_start, self.attack_start >= 1, "at least 1")
        _require("attack_stop", self.attack_stop,
                 self.attack_stop is None or self.attack_stop >= self.attack_start,
                 f"at least attack_start ({self.attack_start})")
        _require("target", self.target, self.attack == "none" or self.source != self.target,
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
        require_fraction("prune_fraction", self.prune_fraction)
        _require("prune_start", self.prune_start, self.prune_start >= 1, "at least 1")
        _require("prune_every", self.prune_every, self.prune_every >= 1, "at least 1")


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
        _require("seed", self.seed, self.seed >= 0, "at least 0")
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
                for name, value in _leaves(self)}

    def _check_count(self, field: str) -> None:
        value = dict(_leaves(self))[field]
        _require(field, value, isinstance(value, float) or value <= self.data.clients,
                 f"at most the number of clients ({self.data.clients})")


def run_config(**values) -> RunConfig:
    """Returns a configuration from flat field names, defaults elsewhere.

    Example:
        run_config(attack="label-flip", defense="flap", rounds=20)

    Raises:
        UserError: unknown field (the nearest one is named), wrong type, or value out of range.
    """
    known = fields_by_name()
    for name in values:
        if name not in known:
            raise UserError(f"config: unknown field '{name}'{nearest(name, known)}")
    values = {name: _typed(name, value, known[name]) for name, value in values.items()}
    sections = {}
    for field in dataclasses.fields(RunConfig):
        section = typing.get_type_hints(RunConfig)[field.name]
        if dataclasses.is_dataclass(section):
            names = [leaf.name for leaf in dataclasses.fields(section)]
            sections[field.name] = section(**{n: values[n] for n in names if n in values})
        elif field.name in values:
            sections[field.name] = values[field.name]
    return RunConfig(**sections)


def read_config(path: str) -> dict:
    """Returns the flat fields of a `.json` or `.toml` file.

    Raises:
        UserError: no such file, not readable as what its name says, or not a flat table.
    """
    readers = {".json": json.loads, ".toml": tomllib.loads}
    reader = choose("config", pathlib.Path(path).suffix, readers)
    try:
        content = reader(pathlib.Path(path).read_text())
    except OSError as error:
        raise UserError(f"config: {path} cannot be read ({error.strerror})")
    except ValueError as error:
        raise UserError(f"config: {path} is not valid {pathlib.Path(path).suffix[1:]} ({error})")
    if not isinstance(content, Mapping):
        raise UserError(f"config: {path} holds a {type(content).__name__}; allowed is a table")
    return {name: value for name, value in content.items() if name not in IGNORED_KEYS}


def fields_by_name() -> dict[str, dataclasses.Field]:
    """Returns every field of the tree by its flat name; `type` holds the resolved type."""
    found = {}
    for section in (*_sections(), RunConfig):
        hints = typing.get_type_hints(section)
        for field in dataclasses.fields(section):
            if not dataclasses.is_dataclass(hints[field.name]):
                field.type = hints[field.name]
                found[field.name] = field
    return found


def _sections() -> list[type]:
    hints = typing.get_type_hints(RunConfig)
    return [hint for hint in hints.values() if dataclasses.is_dataclass(hint)]


def _leaves(config: RunConfig):
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from ((leaf.name, getattr(value, leaf.name))
                        for leaf in dataclasses.fields(value))
        else:
            yield field.name, value


def _typed(name: str, value, field: dataclasses.Field):
    """Returns `value` as the field's type; ints pass as floats, one word as a list of words."""
    allowed = typing.get_args(field.type) or (field.type,)
    if typing.get_origin(field.type) is tuple:
        words = (value,) if isinstance(value, str) else value
        if isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words):
            return tuple(word for word in words if word != "none")
    elif isinstance(value, bool):
        if bool in allowed:
            return value
    elif isinstance(value, allowed):
        return value
    elif float in allowed and isinstance(value, int):
        return float(value)
    names = {type(None): "null", str: "text", bool: "true or false", int: "a whole number",
             float: "a number"}
    raise UserError(f"{name}: {value!r} is not allowed; allowed is "
                    + " or ".join(names.get(kind, "a list of names") for kind in allowed))


def _require(field: str, value, holds: bool, allowed: str) -> None:
    if not holds:
        raise UserError(f"{field}: {value!r} is not allowed; allowed is {allowed}")


def _require_count_or_fraction(field: str, value: int | float) -> None:
    holds = 0 <= value <= 1 if isinstance(value, float) else value >= 0
    _require(field, value, holds, "a count (whole number >= 0) or a fraction from 0.0 to 1.0")


def _count(value: int | float, clients: int) -> int:
    if isinstance(value, float):
        return min(clients, max(1, math.floor(value * clients + 0.5))) if value else 0
    return value
