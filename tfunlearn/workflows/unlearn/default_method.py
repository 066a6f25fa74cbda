"""The method that fits a request, where none was named."""

from __future__ import annotations

from tfunlearn.core.errors import UserError
from tfunlearn.methods.task import (
    Case, in_words, require_majority, require_whole_clients, round_of_both_groups)
from tfunlearn.pruning.channels import channel_layers
from tfunlearn.pruning.graph import Graph


def default_method(case: Case, waits: bool) -> tuple[str, str]:
    """Returns the method for a request, and why it is that one.

    Classes go by `ablation-channel` (decentralized), clients that attacked by `fedup`, and honest
    clients and single examples by `memorization`, which takes anything: the former two were made
    for those requests.

    Args:
        case: the task; its settings name no method.
        waits: whether ordinary rounds come first (`--rate-limit`), whose history FedUP then has.
    """
    if case.classes_only:
        obstacle = _channels_obstacle(case)
        return ("ablation-channel", "made for classes") if obstacle is None else (
            "memorization", f"ablation-channel cannot work here: {obstacle}")
    try:
        require_whole_clients(case)
    except UserError:
        return "memorization", "not only whole clients go"
    honest = case.honest
    if len(honest):
        return "memorization", (f"{in_words(honest, 'client')} did not attack; fedup was made for "
                                "attackers")
    try:
        require_majority(case) if waits else round_of_both_groups(case)
    except UserError as error:
        return "memorization", f"fedup cannot work here: {str(error).partition(';')[0]}"
    return "fedup", "made for clients that attacked"


def _channels_obstacle(case: Case) -> str | None:
    """Returns why channels cannot be ablated in the run's model, or None."""
    try:
        channel_layers(Graph.of(case.source.model))
    except UserError as error:
        return str(error).partition(";")[0]
    return None
