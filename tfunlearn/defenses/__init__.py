"""Server-side defenses, by name."""

from tfunlearn.defenses.flap import Flap
from tfunlearn.defenses.rejection import CRITERIA, Rejection

DEFENSES = {"flap": Flap, **dict.fromkeys(CRITERIA, Rejection)}

__all__ = ["CRITERIA", "DEFENSES", "Flap", "Rejection"]
