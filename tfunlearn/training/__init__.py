"""Federated training of a run: clients, adversary, rounds, metrics, resuming."""
