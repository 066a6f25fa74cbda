"""What the commands do: unlearn, verify, evaluate, report, prune."""
