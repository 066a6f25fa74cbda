"""Settings of a verification."""

from __future__ import annotations

from dataclasses import dataclass

from tfunlearn.core.errors import choose, require, require_real, require_whole
from tfunlearn.core.fields import option
from tfunlearn.verification.likelihood import VARIANCES
from tfunlearn.verification.relearning import ALPHA
from tfunlearn.verification.verdict import TOLERANCE


@dataclass(frozen=True)
class VerifySettings:
    """Settings of a verification; the fields are the flags of `tfunlearn verify`.

    Raises:
        UserError: a setting out of range.
    """

    retrains: int = option(
        5,
        "Number of models retrained without the forget set, at least 1; fewer than 3 give no "
        "verdict.",
    )
    shadows: int = option(
        0,
        "Number of shadow federations for U-LiRA and the NeurIPS 2023 score, each trained, "
        "unlearned and retrained: 0 (skips both), or at least 3; usually 8, 16 or 64.",
    )
    variance: str = option(
        "auto", f"Deviations of LiRA: {', '.join(VARIANCES)}; auto pools below 16 models."
    )
    shadow_models: int = option(
        4,
        "Number of shadow models of the shadow-model attack, trained on half of the test "
        "images; 0 skips it.",
    )
    shadow_epochs: int = option(10, "Epochs of each shadow model.")
    shadow_batch: int = option(64, "Batch size of the shadow models.")
    relearn_epochs: int = option(10, "Largest number of epochs of relearning; 0 skips it.")
    relearn_alpha: float = option(
        ALPHA, "Relative loss of the original accuracy at which the forget set counts as relearned."
    )
    inversion: bool = option(True, "Run model inversion.")
    tolerance: float = option(
        TOLERANCE, "Difference from retraining that is always ignored, at most 0.1."
    )
    verify_seed: int = option(0, "Seed of the attacks' random draws.")

    def __post_init__(self):
        require_whole("retrains", self.retrains, 1, 1000)
        require_whole("shadows", self.shadows, 0, 1000)
        require("shadows", self.shadows, self.shadows == 0 or self.shadows >= 3, "0, or at least 3")
        choose("variance", self.variance, dict.fromkeys(VARIANCES))
        for name, least in (
            ("shadow_models", 0),
            ("shadow_epochs", 1),
            ("shadow_batch", 1),
            ("relearn_epochs", 0),
            ("verify_seed", 0),
        ):
            require_whole(name, getattr(self, name), least, 2**31 - 1)
        require_real(
            "relearn_alpha", self.relearn_alpha, lambda v: 0 <= v < 1, "a number >= 0 and < 1"
        )
        require_real(
            "tolerance",
            self.tolerance,
            lambda v: 0 <= v <= 0.1,
            "a number from 0 to 0.1",
        )
