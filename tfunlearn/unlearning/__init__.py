"""Unlearning methods as operations on Keras weights: arrays in, arrays out, one method per file."""

from tfunlearn.unlearning.channel_effects import ChannelEffects, channel_effects
from tfunlearn.unlearning.channel_selection import SELECTIONS, select_channels, undecided_layers
from tfunlearn.unlearning.class_discriminative import (
    ClassActivations,
    discriminative_channels,
    mean_over_clients,
    tf_idf,
)
from tfunlearn.unlearning.fedau import combine_heads, train_head
from tfunlearn.unlearning.federaser import calibrate, calibration_epochs
from tfunlearn.unlearning.fedosd import orthogonal_step, without_return
from tfunlearn.unlearning.fedrecovery import fedrecovery, noise_deviation
from tfunlearn.unlearning.fedup import FedUPResult, estimate_of, fedup
from tfunlearn.unlearning.gradients import mean_gradient_of
from tfunlearn.unlearning.kernels import kernels_of
from tfunlearn.unlearning.locating import Located, Location, locate, mean_delta_of
from tfunlearn.unlearning.masks import MASKS
from tfunlearn.unlearning.negation import negate
from tfunlearn.unlearning.perturbation import wrong_labels
from tfunlearn.unlearning.pga import ascend, trust_radius
from tfunlearn.unlearning.pruning_ratio import RatioSuggestion, suggest_ratio
from tfunlearn.unlearning.rate_limit import RateLimiter
from tfunlearn.unlearning.resetting import reset
from tfunlearn.unlearning.saliencies import SALIENCIES
from tfunlearn.unlearning.similarity import FractionEstimate, estimate_fraction

calibrated, combined = calibrate, combine_heads  # names of earlier builds

__all__ = [
    "ChannelEffects",
    "ClassActivations",
    "FractionEstimate",
    "Located",
    "Location",
    "MASKS",
    "FedUPResult",
    "RateLimiter",
    "RatioSuggestion",
    "SALIENCIES",
    "SELECTIONS",
    "ascend",
    "calibrate",
    "calibrated",
    "calibration_epochs",
    "channel_effects",
    "combine_heads",
    "combined",
    "discriminative_channels",
    "estimate_fraction",
    "estimate_of",
    "fedrecovery",
    "fedup",
    "kernels_of",
    "locate",
    "mean_delta_of",
    "mean_gradient_of",
    "mean_over_clients",
    "negate",
    "noise_deviation",
    "orthogonal_step",
    "reset",
    "select_channels",
    "suggest_ratio",
    "tf_idf",
    "train_head",
    "trust_radius",
    "undecided_layers",
    "without_return",
    "wrong_labels",
]
