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
        5, "Models retrained without what was forgotten, at least 1; fewer than 3 give no verdict."
    )
    shadows: int = option(
        0,
        "Shadow federations for U-LiRA and the NeurIPS 2023 score: so many "
        "are trained and unlearned, and as many retrained; 0 leaves both "
        "out, else at least 3; 8, 16 or 64 are usual.",
    )
    variance: str = option(
        "auto", f"Deviations of LiRA: {', '.join(VARIANCES)}; auto pools below 16 models."
    )
    shadow_models: int = option(
        4,
        "Shadow models of the shadow-model attack, trained on one half "
        "of the test images; 0 leaves it out.",
    )
    shadow_epochs: int = option(10, "Epochs of each of them.")
    shadow_batch: int = option(64, "Images in a step of their training.")
    relearn_epochs: int = option(10, "Most epochs of relearning; 0 leaves it out.")
    relearn_alpha: float = option(
        ALPHA, "Share of the original accuracy that may be missing when it counts as relearned."
    )
    inversion: bool = option(True, "Whether images are inverted from the models.")
    tolerance: float = option(TOLERANCE, "Difference to retraining that never counts, at most 0.1.")
    verify_seed: int = option(0, "Seed of what the attacks draw.")

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
