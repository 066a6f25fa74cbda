"""Fang's attack on the server's rule, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfunlearn.attacks.attack import KnowledgeSettings, ScaledSettings, UpdateAttack
from tfunlearn.attacks.fang_krum import FANG_KRUM
from tfunlearn.attacks.fang_trim import FANG_TRIM, SPACES, FangTrimSettings
from tfunlearn.core.errors import choose, refuse, require
from tfunlearn.core.fields import option


@dataclass(frozen=True)
class FangSettings(ScaledSettings):
    """Settings of fang-trim, for rules outside the Krum family."""

    attack_space: str = option("model", f"What the intervals are taken from: {', '.join(SPACES)}.")

    def __post_init__(self):
        super().__post_init__()
        choose("attack_space", self.attack_space, SPACES)
        require(
            "attack_scale",
            self.attack_scale,
            self.attack_scale is None or self.attack_scale > 1,
            "more than 1 with fang-trim",
        )


def _against(own: FangSettings, rule: Any) -> tuple[UpdateAttack, KnowledgeSettings]:
    """Return fang-krum against the Krum family, fang-trim against any other rule."""
    if not rule.selects_neighbors:
        return FANG_TRIM, FangTrimSettings(own.knowledge, own.attack_scale, own.attack_space)
    refuse(
        "attack_scale",
        own.attack_scale,
        own.attack_scale is None,
        f"with fang-krum and knowledge {own.knowledge}",
    )
    return FANG_KRUM, KnowledgeSettings(own.knowledge)


def _craft(view: Any, own: Any) -> Any:
    raise RuntimeError("fang is another attack by the server's rule, see `against`")


FANG = UpdateAttack(
    name="fang",
    summary="fang-krum against the Krum family, fang-trim against any other rule",
    paper="Fang et al., USENIX Security 2020, arXiv 1911.11815",
    settings=FangSettings,
    craft=_craft,
    against=_against,
)
