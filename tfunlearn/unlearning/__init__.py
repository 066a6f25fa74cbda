"""Unlearning as operations on Keras weights: arrays in, arrays out, one method a file."""

from tfunlearn.unlearning.channel_effects import ChannelEffects, channel_effects
from tfunlearn.unlearning.channel_selection import SELECTIONS, select_channels, undecided_layers
from tfunlearn.unlearning.class_discriminative import (
    ClassActivations, discriminative_channels, mean_over_clients, tf_idf)
from tfunlearn.unlearning.federaser import calibrated, calibration_epochs
from tfunlearn.unlearning.fedrecovery import fedrecovery, noise_deviation
from tfunlearn.unlearning.fedup import PrunedModel, estimate_of, fedup
from tfunlearn.unlearning.kernels import kernels_of
from tfunlearn.unlearning.masks import MASKS
from tfunlearn.unlearning.negation import negate
from tfunlearn.unlearning.perturbation import wrong_labels
from tfunlearn.unlearning.pga import ascend, trust_radius
from tfunlearn.unlearning.rate_limit import RateLimiter
from tfunlearn.unlearning.similarity import FractionEstimate, estimate_fraction

__all__ = ["ChannelEffects", "ClassActivations", "FractionEstimate", "MASKS", "PrunedModel",
           "RateLimiter", "SELECTIONS", "ascend", "calibrated", "calibration_epochs",
           "channel_effects", "discriminative_channels", "estimate_fraction", "estimate_of",
           "fedrecovery", "fedup", "kernels_of", "mean_over_clients", "negate", "noise_deviation",
           "select_channels", "tf_idf", "trust_radius", "undecided_layers", "wrong_labels"]
