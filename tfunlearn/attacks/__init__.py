"""Attacks: on the data of malicious clients, and on the updates they send; one file each."""

from __future__ import annotations

from tfunlearn.attacks.adversary import Adversary
from tfunlearn.attacks.alie import alie, little_enough
from tfunlearn.attacks.attack import (
    ATTACKS,
    KNOWLEDGE,
    Attack,
    BoostAttack,
    Classes,
    DataAttack,
    UpdateAttack,
)
from tfunlearn.attacks.backdoor import POSITIONS, Trigger, backdoor
from tfunlearn.attacks.boost import replacement_factor
from tfunlearn.attacks.fang_krum import fang_krum
from tfunlearn.attacks.fang_trim import SPACES, fang_trim
from tfunlearn.attacks.gaussian import gaussian
from tfunlearn.attacks.ipm import ipm
from tfunlearn.attacks.label_flip import label_flip
from tfunlearn.attacks.min_max import min_max
from tfunlearn.attacks.min_sum import min_sum
from tfunlearn.attacks.poisoning import choose_malicious, poison
from tfunlearn.attacks.sign_flip import sign_flip
from tfunlearn.attacks.view import AdversaryView

__all__ = [
    "ATTACKS",
    "KNOWLEDGE",
    "POSITIONS",
    "SPACES",
    "Adversary",
    "Attack",
    "BoostAttack",
    "Classes",
    "DataAttack",
    "Trigger",
    "UpdateAttack",
    "AdversaryView",
    "alie",
    "backdoor",
    "choose_malicious",
    "fang_krum",
    "fang_trim",
    "gaussian",
    "ipm",
    "label_flip",
    "little_enough",
    "min_max",
    "min_sum",
    "poison",
    "replacement_factor",
    "sign_flip",
]
