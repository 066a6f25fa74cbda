"""Text on the method, progress and cost of an unlearning run: reports in, text out."""

from __future__ import annotations

from tfunlearn.core.names import Names
from tfunlearn.core.records import Cost, UnlearningRecord


def request_in_words(request: list[str], names: Names = Names()) -> str:
    """Return the first five entries of a request, with the names of classes and clients."""
    return names.in_request(request)


def count(number: int, what: str) -> str:
    """Return a number with its noun, such as `1 round` or `2 rounds`."""
    return f"{number:,} {what}" + ("s" if number != 1 else "")


def rounds_behind(unlearning: UnlearningRecord) -> str:
    """Return the number of training rounds of the unlearned model, as text."""
    own = unlearning.rounds + unlearning.waited_rounds
    return str(own) if unlearning.restarts else f"{unlearning.rounds_before} + {own}"


def recovery(unlearning: UnlearningRecord) -> str:
    """Return text on the recovery, and on when other stopping rules would have ended it."""
    recovered = unlearning.recovered
    words = [f"{count(unlearning.rounds, 'round')} with stop rule {recovered.stop}"]
    if unlearning.waited_rounds:
        words.append(f"after waiting {count(unlearning.waited_rounds, 'round')}")
    others = [
        f"{name} after {getattr(recovered, name)}"
        for name in ("bound", "plateau", "target")
        if name != recovered.stop and getattr(recovered, name)
    ]
    if others:
        words.append(f"other rules would have stopped: {', '.join(others)}")
    return "; ".join(words)


def cost_in_words(cost: Cost) -> str:
    """Return the cost of an unlearning run as text."""
    size = {
        name: f"{getattr(cost, name) / 1e6:,.1f} MB"
        for name in ("bytes_down", "bytes_up", "server_storage_bytes")
    }
    return (
        f"{count(cost.rounds, 'round')} of clients, {cost.seconds:.1f} s, "
        f"{count(cost.client_steps, 'client step')}, {size['bytes_down']} down, "
        f"{size['bytes_up']} up, {size['server_storage_bytes']} stored on the server"
    )
