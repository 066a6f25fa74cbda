"""Settings of a Grouped Memorization Evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from tfunlearn.core.errors import choose, refuse, require, require_flags, require_whole
from tfunlearn.evaluation.fairness import KINDS
from tfunlearn.evaluation.memorization import GRADINGS, LEAST_RETRAINED

SCORES = {
    "retraining": "the retrained models themselves",
    "subsets": "a pool of trainings, each without some clients",
    "checkpoints": "the rounds that the run has kept: a proxy",
}
METRICS = ("loss", "accuracy")
DEFAULT_POOL = 20


@dataclass(frozen=True)
class GmeSettings:
    """Settings of scoring and grading memorization.

    Attributes:
        retrains: number of retrained models, K, 2 to 1000; default 3.
        grading: which retrained models score and which grade, see `gme_report`; default
            leave-one-out.
        scores: source of the scores, a name in `SCORES`; default retraining.
        pool: number of trainings in the pool, for scores `subsets` only; default 20.
        omitted: number of clients that each training of the pool leaves out, for scores `subsets`
            only; default a quarter of the clients, at least one.
        control: whether to compare the method memorization with a random reset of the same size;
            default True.
        fairness: kind of deviation for local fairness, mad (default), variance or std.
        fairness_metric: metric of each client on its own training data, loss (default) or accuracy.

    Raises:
        UserError: a setting out of range.
    """

    retrains: int = 3
    grading: str = "leave-one-out"
    scores: str = "retraining"
    pool: int | None = None
    omitted: int | None = None
    control: bool = True
    fairness: str = "mad"
    fairness_metric: str = "loss"

    def __post_init__(self):
        require_whole("retrains", self.retrains, LEAST_RETRAINED, 1000)
        require_flags(control=self.control)
        for name, least in (("pool", 2), ("omitted", 1)):
            value = getattr(self, name)
            refuse(
                name,
                value,
                value is None or self.scores == "subsets",
                f"with scores {self.scores}; it is for subsets",
            )
            if value is not None:
                require_whole(name, value, least, 10**6)
        for name, known in (
            ("grading", GRADINGS),
            ("scores", SCORES),
            ("fairness", KINDS),
            ("fairness_metric", METRICS),
        ):
            choose(name, getattr(self, name), dict.fromkeys(known))
        if self.pool is None:
            object.__setattr__(self, "pool", DEFAULT_POOL)
        require(
            "grading",
            self.grading,
            self.grading == "leave-one-out" or self.scores == "retraining",
            f"leave-one-out with scores {self.scores}",
        )
