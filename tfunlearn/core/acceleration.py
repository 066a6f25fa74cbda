"""Which kernels TensorFlow's CPU build uses in this process, and which in TFF's worker."""

from __future__ import annotations

import os
from collections.abc import Mapping

NAME, MARK = "TF_ENABLE_ONEDNN_OPTS", "TFUNLEARN_CHOSE_ONEDNN"


def prefer_onednn() -> None:
    """Has TensorFlow take oneDNN's kernels in this process, unless the user has decided.

    TensorFlow does so by itself on some processors only. A forward pass of LeNet-5 takes a quarter
    of the processor time with them, and every round is measured by one. It must be called before
    TensorFlow is imported.
    """
    if NAME not in os.environ:
        os.environ[NAME] = os.environ[MARK] = "1"  # the mark tells programs that we start, too


def environment_of_worker(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment for a process in which clients train: as the user has it, so that
    training has the bits that TensorFlow's own choice gives."""
    ours = (NAME, MARK) if MARK in environ else ()
    return {name: value for name, value in environ.items() if name not in ours}
