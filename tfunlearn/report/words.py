"""Text on the method, progress and cost of an unlearning run: reports in, text out."""

from __future__ import annotations


ALIKE = 0.99  # above this mean cosine of benign clients, FedUP's estimate is uninformative


def request_in_words(request: list[str]) -> str:
    """Return the first five entries of a request."""
    return ", ".join(request[:5]) + (", ..." if len(request) > 5 else "")


def count(number: int, what: str) -> str:
    """Return a number with its noun, such as `1 round` or `2 rounds`."""
    return f"{number:,} {what}" + ("s" if number != 1 else "")


def details(method: str, report: dict) -> str:
    """Return the report of a method as text."""
    words = []
    if "history_round" in report:
        words.append(f"from kept round {report['history_round']}")
    if "history_rounds" in report:
        words.append(f"from {count(len(report['history_rounds']), 'kept round')}, "
                     f"{count(report['local_epochs'], 'local epoch')}")
    if "fraction" in report:
        estimate, words_of = report.get("estimate"), f"fraction {report['fraction']:.4f}"
        if estimate and estimate["z"] is not None:
            words_of += (f" (auto: P = {estimate['p_max'] - estimate['p_min']:.2f} z^"
                         f"{estimate['gamma']:g} + {estimate['p_min']:g}, z {estimate['z']:.4f}, "
                         f"mean cosine {estimate['similarity']:.4f} of {estimate['clients']} "
                         "benign clients)")
        words.append(words_of + (", which only sets the number of rounds" if method == "exclude"
                                 else ""))
    if "zeroed" in report:
        words.append(f"{sum(z['entries'] for z in report['zeroed'].values()):,} of "
                     f"{sum(z['of'] for z in report['zeroed'].values()):,} kernel entries zeroed")
    if "probe" in report:
        words.append(_channels(report))
    if "pruned" in report:
        words.append(f"{sum(map(len, report['pruned'].values()))} of "
                     f"{sum(report['channels'].values())} channels of "
                     f"{count(len(report['channels']), 'convolution')} pruned")
    if "ratio" in report:
        words.append(_reset(report))
    if "unlearn_rounds" in report:
        words.append(f"{count(report['unlearn_rounds'], 'round')} of forgetting (SGD "
                     f"{report['unlearn_lr']:g}), {report['recovery_rounds']} of recovery")
    if "head" in report:
        words.append(f"second head for {', '.join(report['head'])}, "
                     f"{count(report['head_rounds'], 'round')}")
    if "negated" in report:
        words.append(f"negated {', '.join(report['negated'])}")
    if "ascents" in report:
        steps = sum(ascent["steps"] for ascent in report["ascents"])
        words.append(f"{count(steps, 'step')} of ascent within {report['radius']:.3g}")
    return ": " + "; ".join(words) if words else ""


def _reset(report: dict) -> str:
    """Return text on the weights that memorization resets; only the settings before locating."""
    text = (f"ratio {report['ratio']:g} by {report['saliency']}, {report['rule']} rule, clients "
            f"weighted by {report['client_weights']}")
    if "count" not in report:
        return text + "; one round locates"
    threshold = report["threshold"]
    return (f"{report['count']:,} of {report['eligible']:,} weights reset ("
            + (f"threshold {threshold:.3g}, " if threshold is not None else "")
            + f"{report['zeros']:,} did not move at all); by layer "
            + ", ".join(f"{name} {share:.0%}" for name, share in _extremes(report["shares"])))


def _extremes(shares: dict[str, float]) -> list[tuple[str, float]]:
    """Return the three arrays with the largest shares and the one with the smallest nonzero share;
    all arrays with a nonzero share if there are at most four."""
    ranked = sorted((item for item in shares.items() if item[1] > 0), key=lambda item: -item[1])
    return ranked if len(ranked) <= 4 else [*ranked[:3], ranked[-1]]


def _channels(report: dict) -> str:
    """Return text on the channels that ablation-channel trains."""
    chosen = sum(map(len, report["selected"].values()))
    return (f"{report['mode']}; {report['selection']} channels, {chosen} of "
            f"{sum(report['channels'].values())} in {count(len(report['channels']), 'layer')}: "
            f"{report['entries']:,} of {report['of']:,} weights; "
            f"{count(report['samples'], 'sample')}"
            + (f" {report['origin']}" if report["origin"] else ""))


def remarks(report: dict) -> list[str]:
    """Return remarks on a plan, shown before its first round."""
    lines, estimate = [], report.get("estimate")
    if estimate and estimate["similarity"] is not None and estimate["similarity"] > ALIKE:
        lines.append(
            f"auto      does not tell IID from other clients here: their last layers are alike (mean "
            f"cosine {estimate['similarity']:.4f}), so that P is near its largest, "
            f"{estimate['p_max']:.2f}; the paper has 10 to 15 % for IID clients, 3 to 6 % for "
            "others: --fraction 0.10 or 0.05")
    if "probe" not in report:
        return lines
    if report["extension"]:
        lines.append("extension the paper forgets whole classes; "
                     f"{', '.join(report['extension'])}: by the same steps")
    lines.append(f"keeps     {count(report['perturbation']['examples'], 'example')} to be "
                 "forgotten stay in use, wrongly labelled, until the last round")
    return lines


def rounds_behind(notes: dict) -> str:
    """Return the number of training rounds of the unlearned model, as text."""
    own = notes["rounds"] + notes["waited_rounds"]
    return str(own) if notes["restarts"] else f"{notes['rounds_before']} + {own}"


def recovery(notes: dict) -> str:
    """Return text on the recovery, and on when other stopping rules would have ended it."""
    recovered = notes["recovered"]
    words = [f"{count(notes['rounds'], 'round')}, stop {recovered['stop']}"]
    if notes["waited_rounds"]:
        words.append(f"after {count(notes['waited_rounds'], 'round')} of waiting")
    for name in ("bound", "plateau", "target"):
        if name != recovered["stop"] and recovered[name]:
            words.append(f"{name} after {recovered[name]}")
    return "; ".join(words)


def cost_in_words(cost: dict) -> str:
    """Return the cost of an unlearning run as text."""
    size = {name: f"{cost[name] / 1e6:,.1f} MB" for name in (
        "bytes_down", "bytes_up", "server_storage_bytes")}
    return (f"{count(cost['rounds'], 'round')} of clients, {cost['seconds']:.1f} s, "
            f"{count(cost['client_steps'], 'client step')}, {size['bytes_down']} down, "
            f"{size['bytes_up']} up, {size['server_storage_bytes']} kept at the server")
