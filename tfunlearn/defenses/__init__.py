"""Defenses of the server, one file each."""

from tfunlearn.defenses.defense import DEFENSES, Defense, ModelDefense, Stages, UpdateDefense
from tfunlearn.defenses.flap import Flap
from tfunlearn.defenses.rejection import CRITERIA, Rejection

__all__ = [
    "CRITERIA",
    "DEFENSES",
    "Defense",
    "Flap",
    "ModelDefense",
    "Rejection",
    "Stages",
    "UpdateDefense",
]
