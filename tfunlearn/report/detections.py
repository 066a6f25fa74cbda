"""Findings of detectors in words."""

from __future__ import annotations

from tfunlearn.detection import Detection


def basis(found: Detection) -> str:
    """Return in words what the decision of a detector rests on."""
    evidence = found.evidence
    if evidence.get("all_alike"):
        return "all updates were alike"
    parts = []
    if "clusters" in evidence:
        gaps = evidence["gaps"]
        if evidence["clusters"] == 1:
            parts.append("the scores form one cluster")
        else:
            low, high = evidence["sizes"]
            parts.append(f"the scores form {evidence['clusters']} clusters")
            parts.append(f"the best two have {low} (lower) and {high} (higher scores) clients")
            if not evidence.get("flags_upper", True):
                parts.append("the higher one is no minority, and is not flagged")
        if gaps:
            parts.append("gap " + ", ".join(f"{gap:.2f}" for gap in gaps[:3]))
    if "side" in evidence:
        parts.append(f"flagged are the {evidence['side']}")
    if "threshold" in evidence and evidence.get("flags_upper"):
        parts.append(f"left out in at least {evidence['threshold']:.0%} of the rounds")
    if "largest_cosines" in evidence:
        parts.append(
            "weight 0, from the cosines of summed updates" if found.flagged else "no weight is 0"
        )
    if "undecided_rounds" in evidence:
        parts.append(f"no decision in {len(evidence['undecided_rounds'])} rounds")
    if "not_finite" in evidence:
        parts.append(f"{len(evidence['not_finite'])} with updates that are not finite")
    return "; ".join(parts)
