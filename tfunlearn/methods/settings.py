"""What is asked of one unlearning: which method, what to forget, every knob."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from tfunlearn.core.errors import choose, require, require_real, require_whole
from tfunlearn.core.requests import FORMS, ForgetRequest
from tfunlearn.config.reading import fields_of, typed
from tfunlearn.core.fields import option
from tfunlearn.federated.client_work import OPTIMIZERS
from tfunlearn.pruning.channels import PARTS
from tfunlearn.unlearning.channel_selection import ALL_SELECTIONS
from tfunlearn.unlearning.class_discriminative import SCOPES
from tfunlearn.unlearning.eligible import INCLUDES
from tfunlearn.unlearning.locating import RANGES, ZERO_UPDATES
from tfunlearn.unlearning.masks import MASKS
from tfunlearn.unlearning.resetting import RESETS
from tfunlearn.unlearning.saliencies import SALIENCIES
from tfunlearn.unlearning.stopping import STOPS

METHODS = {
    "fedup": "zeroes what malicious clients pulled away, in the benign average; recovery",
    "exclude": "FedUP's control: goes on without the forgotten, for the bound's rounds",
    "retrain": "trains anew without the forgotten, seeded as the run was: the reference",
    "finetune": "goes on training without the forgotten",
    "federaser": "rebuilds the model from stored updates, turned by the remaining clients",
    "pga": "gradient ascent at the forgotten clients, within a ball; then training",
    "fedrecovery": "takes the forgotten clients' residuals out of the final model",
    "not": "negates the first kernel; then training",
    "rapid-retrain": "trains anew with a diagonal Fisher optimizer",
    "ablation-channel": "trains the channels that matter most for the forgotten, on what remains "
                        "and on the forgotten under wrong labels",
    "cdp": "prunes the channels that tell the forgotten classes from others (TF-IDF); training",
    "memorization": "draws anew the weights that a round on what remains moves least; training",
    "fedosd": "steps that forget, orthogonal to what the others learn; recovery without return",
    "fedau": "combines the last layer with one that learned the forgotten wrongly; no training",
}
_TRAINS = ("recovery_optimizer", "recovery_lr", "recovery_epochs", "recovery_rounds", "stop")
_RECOVERS = (*_TRAINS, "keep_defense")
USES = {  # knobs beside those of every method
    "fedup": (*_RECOVERS, "fraction", "mask", "similarity", "average", "rate_limit"),
    "exclude": (*_RECOVERS, "fraction", "similarity"),
    "retrain": (),
    "finetune": _RECOVERS,
    "federaser": ("calibration",),
    "pga": (*_RECOVERS, "average", "ascent_lr", "ascent_epochs", "ascent_batch", "ascent_clip",
            "ascent_stop"),
    "fedrecovery": ("average", "update_noise"),
    "not": (*_RECOVERS, "negate"),
    "rapid-retrain": ("recovery_lr", "recovery_rounds"),
    "ablation-channel": (*_TRAINS, "mode", "delta", "channel", "selection", "probe", "redraw",
                         "server_samples", "server_batch"),
    "cdp": (*_RECOVERS, "prune_share", "prune_scope"),
    "memorization": (*_RECOVERS, "ratio", "ratio_scope", "saliency", "include", "zero_updates",
                     "reset_rule", "reset_order"),
    "fedosd": (*_TRAINS, "unlearn_rounds", "unlearn_lr", "unlearn_batch"),
    "fedau": ("head_rounds", "head_lr", "head_alpha", "head_gamma"),
}
EVERY = ("method", "forget", "unlearn_seed", "reference")
AUTO = "auto"
DEFAULT_ROUNDS = 10
OWN_STOPS = {"exclude": "bound", "not": "target", "fedosd": "target", "memorization": "target"}
WORK_BY_ROUNDS = ("finetune", "exclude", "ablation-channel", "rapid-retrain")  # nothing before them
MODES = {"decentralized": "all clients train and send the selected channels",
         "centralized": "the server trains them on samples of its own"}
ORDERS = ("apply_then_reset", "reset_original")
CLASS_RATIO, OTHER_RATIO = 0.1, 0.3  # of memorization, where none is given


@dataclass(frozen=True)
class UnlearnSettings:
    """One unlearning; field names are unique beside those of a run's configuration."""

    method: str = option(AUTO, "Method: auto (fedup for clients that attacked, ablation-channel "
                         f"for classes, else memorization), {', '.join(METHODS)}.")
    forget: tuple[str, ...] = option(("malicious",), f"What to forget: {FORMS}.")
    fraction: int | float | str = option(
        "auto", "Share of each kernel that fedup zeroes, or auto: from how alike benign clients "
        "are.")
    mask: str = option("divergence", f"What fedup zeroes: {', '.join(MASKS)}; the last two are "
                       "controls.")
    similarity: str = option("model", "What auto compares: model or update.")
    average: str = option("samples", "Weights of means over clients: samples or uniform.")
    stop: str | None = option(None, f"When recovery ends: {', '.join(STOPS)}; none: target for "
                              "not, fedosd and memorization, bound for exclude, else rounds.")
    recovery_rounds: int | None = option(
        None, f"Rounds of recovery with stop rounds (none: {DEFAULT_ROUNDS}), at most so many with "
        "plateau and target (none: the rounds of the training); 0 for none at all.")
    recovery_optimizer: str | None = option(
        None, f"Optimizer of recovery: {', '.join(OPTIMIZERS)}; none: adam for fedup and exclude, "
        "sgd for mode centralized, else as in training.")
    recovery_lr: float | None = option(
        None, "Learning rate of recovery; none: 0.001 for fedup, exclude and where another "
        "adaptive optimizer is taken up, 0.01 for mode centralized, else as in training.")
    recovery_epochs: int | None = option(
        None, "Local epochs in a round of recovery; none: as in training.")
    keep_defense: bool = option(False, "Recover under the run's rule and defenses, not by plain "
                                "federated averaging.")
    rate_limit: int = option(10, "Least number of rounds between two unlearnings with fedup.")
    calibration: float = option(0.5, "Share of the local epochs that federaser calibrates with.")
    ascent_lr: float = option(0.01, "Learning rate of pga's ascent.")
    ascent_epochs: int = option(5, "Most epochs of pga's ascent.")
    ascent_batch: int = option(128, "Examples in a step of pga's ascent.")
    ascent_clip: float = option(5.0, "Greatest norm of a gradient in pga's ascent.")
    ascent_stop: float = option(0.12, "Accuracy on a batch below which pga's ascent ends.")
    negate: int = option(1, "Kernels that not negates, first ones first.")
    update_noise: float = option(0.0, "Standard deviation of the noise of fedrecovery.")
    mode: str = option("decentralized", f"Who trains with ablation-channel: {', '.join(MODES)}.")
    delta: float = option(0.05, "Share of each layer's channels that ablation-channel updates.")
    channel: str = option("filter", f"What a channel consists of: {', '.join(PARTS)}.")
    selection: str = option("important", f"Which channels: {', '.join(ALL_SELECTIONS)}; all but the "
                            "first are controls, those with output-unit for classes.")
    probe: int = option(1000, "Most forgotten examples that the effects are measured on.")
    redraw: bool = option(False, "Draw the wrong labels anew in every round.")
    server_samples: int = option(1600, "Most samples of the server, mode centralized.")
    server_batch: int = option(64, "Samples in a step of the server, mode centralized.")
    prune_share: float = option(0.1, "Share of the channels that cdp prunes.")
    prune_scope: str = option("layer", f"What cdp's share is of: {', '.join(SCOPES)}.")
    ratio: float | None = option(
        None, "Share of the weights that memorization resets; none: "
        f"{CLASS_RATIO} for requests of classes alone, else {OTHER_RATIO}.")
    ratio_scope: str = option("global", f"What memorization's ratio is of: {', '.join(RANGES)}.")
    saliency: str = option(
        "abs_mean_delta", f"What memorization resets the least of: {', '.join(SALIENCIES)}; from "
        "random on they are controls.")
    include: str = option("kernels+bias", f"What memorization may reset: {', '.join(INCLUDES)} "
                          "(normalisation too).")
    zero_updates: str = option(
        "exclude", "Weights that do not move at all: last in memorization's ranking (exclude), "
        "first (include), or an error if they fill the ratio (error).")
    reset_rule: str = option("he_uniform_compat", f"How memorization draws anew: {', '.join(RESETS)}.")
    reset_order: str = option(
        "apply_then_reset", f"What memorization resets: {', '.join(ORDERS)}: the model after the "
        "round that locates, or before it.")
    unlearn_rounds: int | None = option(
        None, f"Rounds of fedosd that forget; none: recovery_rounds, or {DEFAULT_ROUNDS}.")
    unlearn_lr: float = option(0.01, "Learning rate in these rounds, one epoch of plain SGD each.")
    unlearn_batch: int | None = option(
        None, "Examples in a step of these rounds; none: as in training.")
    head_rounds: int = option(10, "Rounds of fedau's second head, local epochs as in training.")
    head_lr: float = option(0.01, "Learning rate of fedau's second head.")
    head_alpha: float = option(0.5, "Weight of fedau's second head in the sum; not for classes.")
    head_gamma: float = option(0.5, "What fedau's second head keeps of itself from round to round; "
                               "not for classes.")
    unlearn_seed: int | None = option(None, "Seed of what the unlearning draws; none: the run's.")
    reference: bool = option(True, "Retrain for comparison, once for equal requests.")

    def __post_init__(self):
        choose("method", self.method, {AUTO: None, **METHODS})
        ForgetRequest.parse(self.forget, malicious=(0,))
        self._check_knobs()
        for field in dataclasses.fields(self) if self.method != AUTO else ():
            users = [name for name, fields in USES.items() if field.name in fields]
            if field.name not in EVERY and self.method not in users:
                require(field.name, getattr(self, field.name),
                        getattr(self, field.name) == field.default,
                        f"nothing with method {self.method}; it is for {', '.join(users)}")
        require("recovery_rounds", self.recovery_rounds,
                self.recovery_rounds is None or self.rule != "bound",
                "nothing with stop bound; take stop rounds, plateau or target")
        require("recovery_rounds", self.recovery_rounds,
                self.recovery_rounds != 0 or self.method not in WORK_BY_ROUNDS,
                f"at least 1 with {self.method}, which works by its rounds")
        self._check_mode()

    def _check_mode(self) -> None:
        unused = {"decentralized": ("server_samples", "server_batch"),
                  "centralized": ("recovery_epochs",)}
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in unused[self.mode] if self.method != AUTO else ():
            require(name, getattr(self, name), getattr(self, name) == defaults[name]
                    or self.method != "ablation-channel", f"nothing with mode {self.mode}")

    def _check_knobs(self) -> None:
        if self.fraction != "auto":
            require_real("fraction", self.fraction, lambda p: 0 <= p <= 1, "0 to 1, or auto")
        for name, known in (("mask", MASKS), ("mode", MODES), ("channel", PARTS),
                            ("selection", ALL_SELECTIONS), ("prune_scope", SCOPES),
                            ("ratio_scope", RANGES), ("saliency", SALIENCIES),
                            ("include", INCLUDES), ("zero_updates", ZERO_UPDATES),
                            ("reset_rule", RESETS), ("reset_order", ORDERS)):
            choose(name, getattr(self, name), dict.fromkeys(known))
        for name in ("ratio", "head_alpha", "head_gamma", "ascent_stop"):
            if getattr(self, name) is not None:
                require_real(name, getattr(self, name), lambda v: 0 <= v <= 1, "0 to 1")
        require_real("delta", self.delta, lambda d: 0 < d <= 1, "a share > 0, at most 1")
        require_real("prune_share", self.prune_share, lambda r: 0 < r < 1, "a share > 0 and < 1")
        choose("similarity", self.similarity, dict.fromkeys(("model", "update")))
        choose("average", self.average, dict.fromkeys(("samples", "uniform")))
        if self.stop is not None:
            choose("stop", self.stop, dict.fromkeys(STOPS))
        require("stop", self.stop, self.stop != "bound" or self.method in ("fedup", "exclude", AUTO),
                "rounds, plateau or target; bound is for fedup and exclude")
        if self.recovery_optimizer is not None:
            choose("recovery_optimizer", self.recovery_optimizer, OPTIMIZERS)
        for name in ("recovery_rounds", "recovery_epochs", "ascent_epochs", "ascent_batch",
                     "negate", "unlearn_seed", "rate_limit", "probe", "server_samples",
                     "server_batch", "unlearn_rounds", "unlearn_batch", "head_rounds"):
            if getattr(self, name) is not None:
                least = 0 if name in ("unlearn_seed", "rate_limit", "recovery_rounds") else 1
                most = 2**31 - 1 if name == "unlearn_seed" else 10**9
                require_whole(name, getattr(self, name), least, most)
        for name in ("recovery_lr", "ascent_lr", "ascent_clip", "update_noise", "calibration",
                     "unlearn_lr", "head_lr"):
            if getattr(self, name) is not None:
                require_real(name, getattr(self, name),
                             lambda v: 0 <= v <= 1000 and (v > 0 or name == "update_noise"),
                             f"a number {'>=' if name == 'update_noise' else '>'} 0, at most 1000")

    @property
    def rule(self) -> str:
        """The stop rule, the method's own if none was chosen."""
        return self.stop or OWN_STOPS.get(self.method, "rounds")

    def chosen(self) -> dict:
        """Returns the knobs that the method uses, as they go into a file, the stop rule resolved;
        all with method auto."""
        found = {name: getattr(self, name) for name in ("method", *knobs_of(self.method))}
        return {**found, "stop": self.rule} if "stop" in found and self.method != AUTO else found


def knobs_of(method: str) -> Sequence[str]:
    """Returns the names of a method's knobs, all with method auto."""
    return USES.get(method, [field.name for field in dataclasses.fields(UnlearnSettings)
                             if field.name not in EVERY])


def unlearn_settings(**values) -> UnlearnSettings:
    """Returns settings from flat field names, defaults elsewhere.

    Example:
        unlearn_settings(method="not", forget=["client:3"])

    Raises:
        UserError: unknown field (the nearest one is named), wrong type, or value out of range.
    """
    return UnlearnSettings(**typed(values, fields_of(UnlearnSettings)))
