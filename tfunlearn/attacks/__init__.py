"""Attacks by name: on the data of malicious clients, and on the updates they send."""

from __future__ import annotations

from tfunlearn.attacks.adversary import KNOWLEDGE, Adversary
from tfunlearn.attacks.alie import alie, little_enough
from tfunlearn.attacks.backdoor import POSITIONS, Trigger, backdoor
from tfunlearn.attacks.boost import replacement_factor
from tfunlearn.attacks.fang_krum import fang_krum, require_minority
from tfunlearn.attacks.fang_trim import SPACES, fang_trim
from tfunlearn.attacks.gaussian import gaussian
from tfunlearn.attacks.ipm import ipm
from tfunlearn.attacks.label_flip import label_flip
from tfunlearn.attacks.min_max import min_max
from tfunlearn.attacks.min_sum import min_sum
from tfunlearn.attacks.poisoning import choose_malicious, poison
from tfunlearn.attacks.sign_flip import sign_flip
from tfunlearn.attacks.view import View
from tfunlearn.core.errors import UserError

DATA_ATTACKS = {"label-flip": label_flip, "backdoor": backdoor}
UPDATE_ATTACKS = {  # View -> (c, d)
    "sign-flip": sign_flip, "gaussian": gaussian, "alie": alie, "ipm": ipm, "min-max": min_max,
    "min-sum": min_sum, "fang-krum": fang_krum, "fang-trim": fang_trim}
SPREAD = {"partial": ("alie", "min-max", "min-sum", "fang-trim"),  # need two honest updates
          "full": ("alie", "min-max", "min-sum")}
SCALED = ("sign-flip", "gaussian", "alie", "ipm", "fang-trim")  # those with a keyword `scale`
FANG = "fang"  # fang-krum against the Krum family, fang-trim against any other rule
ATTACKS = {"boost": replacement_factor, **DATA_ATTACKS, **UPDATE_ATTACKS, FANG: None}


def obstacle(
    attack: str, knowledge: str, clients: int, malicious: int, *, scale: float | None = None,
) -> str | None:
    """Returns why an attack on updates cannot be crafted, or None if it can.

    Args:
        attack: name in `UPDATE_ATTACKS`.
        knowledge: `"partial"` or `"full"`.
        clients: clients in the round, n.
        malicious: attackers among them, c.
        scale: the attack's strength, if it was given.
    """
    seen = malicious if knowledge == "partial" else clients - malicious
    if attack in SPREAD[knowledge] and seen < 2:
        return (f"knowledge: {attack} with knowledge {knowledge} sees {seen} honest updates; "
                "allowed are at least 2" + (" malicious clients in a round, or knowledge full"
                                            if knowledge == "partial" else ""))
    if attack == "fang-krum" and knowledge == "partial" and malicious < 2:
        return ("malicious: fang-krum with knowledge partial needs 2 malicious clients in a round, "
                f"which support each other; here it is {malicious}")
    if knowledge == "full" and not seen:
        return f"malicious: {malicious} of {clients} clients leave {attack} no honest update"
    try:
        if attack == "fang-krum" and knowledge == "full":
            require_minority(clients, malicious)
        if attack == "alie" and scale is None:
            little_enough(clients, malicious)
    except UserError as error:
        return str(error)
    return None


__all__ = ["ATTACKS", "DATA_ATTACKS", "FANG", "KNOWLEDGE", "POSITIONS", "SCALED", "SPACES",
           "UPDATE_ATTACKS", "Adversary", "Trigger", "View", "alie", "backdoor",
           "choose_malicious", "fang_krum", "fang_trim", "gaussian", "ipm", "label_flip",
           "min_max", "min_sum", "obstacle", "poison", "replacement_factor", "sign_flip"]
