"""Unlearning as operations on Keras weights: arrays in, arrays out, one method a file."""

from tfunlearn.unlearning.federaser import calibrated, calibration_epochs
from tfunlearn.unlearning.fedrecovery import fedrecovery, noise_deviation
from tfunlearn.unlearning.fedup import PrunedModel, estimate_of, fedup
from tfunlearn.unlearning.kernels import kernels_of
from tfunlearn.unlearning.masks import MASKS
from tfunlearn.unlearning.negation import negate
from tfunlearn.unlearning.pga import ascend, trust_radius
from tfunlearn.unlearning.rate_limit import RateLimiter
from tfunlearn.unlearning.similarity import FractionEstimate, estimate_fraction

__all__ = ["FractionEstimate", "MASKS", "PrunedModel", "RateLimiter", "ascend", "calibrated",
           "calibration_epochs", "estimate_fraction", "estimate_of", "fedrecovery", "fedup",
           "kernels_of", "negate", "noise_deviation", "trust_radius"]
