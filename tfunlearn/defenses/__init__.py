"""Defences of the server, by name."""

from tfunlearn.defenses.flap import Flap

DEFENSES = {"flap": Flap}

__all__ = ["DEFENSES", "Flap"]
