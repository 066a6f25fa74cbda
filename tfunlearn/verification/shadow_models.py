"""Shadow-model attack: a classifier of members and non-members, trained on model outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.labels import require_labels

HIDDEN = (256, 128)


class ShadowAttack:
    """Membership-inference attack trained on shadow models, whose training data are known.

    The features are the probability of the label, followed by all probabilities in descending
    order, so that one attack classifier serves all classes.

    Args:
        hidden: units of the attack classifier's ReLU layers, which one sigmoid unit follows;
            default 256 and 128.
        epochs: training epochs of the attack classifier; default 50.
        batch_size: its batch size; default 64.
        seed: its training seed; default 0.

    Reference:
        Shokri et al., "Membership Inference Attacks Against Machine Learning Models" (IEEE S&P
        2017, arXiv 1610.05820); the classifier is that of Xu et al., "Update Selective Parameters:
        Federated Machine Unlearning Based on Model Explanation".
    """

    def __init__(
        self,
        *,
        hidden: Sequence[int] = HIDDEN,
        epochs: int = 50,
        batch_size: int = 64,
        seed: int = 0,
    ):
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self._net: Any = make_pipeline(
            StandardScaler(),
            MLPClassifier(
                tuple(hidden),
                activation="relu",
                max_iter=epochs,
                batch_size=cast(Any, batch_size),
                random_state=seed,
                n_iter_no_change=epochs,
            ),
        )

    def fit(
        self,
        outputs: Sequence[np.ndarray],
        labels: Sequence[np.ndarray],
        members: Sequence[np.ndarray],
    ) -> ShadowAttack:
        """Train the attack classifier.

        Args:
            outputs: class probabilities for each shadow model, each `(m, classes)`.
            labels: true classes, each `(m,)`.
            members: True for examples that the shadow model was trained on, each bool `(m,)`.
        """
        import warnings

        from sklearn.exceptions import ConvergenceWarning

        known = np.concatenate([np.asarray(m, bool) for m in members])
        require("members", "one kind", 0 < known.sum() < len(known), "members and non-members")
        features = np.concatenate([_features(o, y) for o, y in zip(outputs, labels)])
        batch = min(self._net[-1].batch_size, len(features))
        self._net[-1].set_params(batch_size=batch)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed
            self._net.fit(features, known)
        return self

    def scores(self, outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return membership probabilities, `(m,)`; above 0.5 an example is classified as member."""
        return self._net.predict_proba(_features(outputs, labels))[:, 1]


def _features(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    outputs = np.asarray(outputs, np.float64)
    require("outputs", f"shape {outputs.shape}", outputs.ndim == 2, "probabilities (m, classes)")
    labels = require_labels(labels, classes=outputs.shape[1], count=len(outputs))
    chosen = outputs[np.arange(len(labels)), labels]
    return np.column_stack(
        [np.log(np.clip(part, 1e-12, None)) for part in (chosen, np.sort(outputs, axis=1)[:, ::-1])]
    )
