"""Mimic: all malicious clients repeat one benign client, which over-represents its data."""

from __future__ import annotations

import numpy as np

from tfunlearn.attacks.attack import UpdateAttack
from tfunlearn.attacks.view import AdversaryView
from tfunlearn.core.blocks import gram, mean_centered


def mimic(view: AdversaryView) -> np.ndarray:
    """Return the update of the benign client that lies farthest along the direction of most spread.

        v = top right singular vector of the centered known updates;   x_i of largest |v . x_i|

    Robust rules that leave out what differs then lose the other clients' data; it hurts where data
    are not IID.

    Args:
        view: the adversary's view.

    Returns:
        float32 `(c, d)`, the same row for all malicious clients.

    Deviation: the paper follows v over the rounds by Oja's rule. Here it is that of the round's own
    updates, exactly: a resumed run gives the same bits, and clients may be sampled.

    Reference:
        Karimireddy, He and Jaggi, "Byzantine-robust learning on heterogeneous datasets via
        bucketing", ICLR 2022 (arXiv 2006.09365).
    """
    known = view.need_all("mimic")
    products = gram(known)
    vector = np.linalg.eigh(mean_centered(products))[1][:, -1]
    along = (products - products.mean(axis=1)[:, None]) @ vector  # v . x_i, but for a factor
    return view.everywhere(known[int(np.argmax(np.abs(along)))])


MIMIC = UpdateAttack(
    name="mimic",
    summary="all send the update of the benign client farthest along the direction of most spread",
    paper="Karimireddy et al., ICLR 2022, arXiv 2006.09365",
    craft=lambda view, own: mimic(view),
    needs_all=True,
)
