"""The plan of CDP: class-discriminative pruning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tfunlearn.core.errors import require
from tfunlearn.training.rounds import rounds_of
from tfunlearn.methods.task import Case, Plan, methods_for
from tfunlearn.methods.cost import Cost
from tfunlearn.pruning.channels import channel_layers, masks_of, without_channels
from tfunlearn.unlearning import ClassActivations, discriminative_channels, mean_over_clients


def plan_cdp(case: Case) -> Plan:
    """CDP: prunes channels by TF-IDF, silent and fixed from then on; training on what remains.

    A pruned channel has its gamma and beta zeroed too, so that it gives zero, not a constant.

    Deviation: the kernel slices that read a pruned channel are left as they are; they read zeros,
    and their gradient is zero with that.

    Reference:
        Wang et al., "Federated Unlearning via Class-Discriminative Pruning" (WWW 2022,
        arXiv 2110.11794).
    """
    classes, federation = case.forgotten_classes, case.source.remaining
    require("forget", case.request, case.classes_only,
            f"classes alone, with cdp; this request is taken by {methods_for(case)}")
    source, settings = case.source, case.settings
    model, held = source.model, federation.held(source.rounds)
    model.set_weights(source.state.weights)
    activations = ClassActivations(model)
    uploads = [activations(held.images[held.rows(k)], held.labels[held.rows(k)],
                           federation.data.classes) for k in case.track(list(held.present))]
    chosen = discriminative_channels(mean_over_clients(uploads), classes,
                                     share=settings.prune_share, scope=settings.prune_scope)
    layers = channel_layers(model, "filter+bn")
    fixed = masks_of(layers, chosen, [weight.shape for weight in source.state.weights])
    start = without_channels(source.state.weights, layers, chosen)
    keeps = source.federation.config.history.keeps

    def rounds_by(keep: Callable | None) -> Callable:
        engine = rounds_of(case.recovering, model, training=case.training, keep=keep,
                           gather=keeps, seed=case.seed, movable=[~mask for mask in fixed])

        def run_round(state, cohort):
            state, report = engine(state, cohort)  # in which attackers send what they like
            return dataclasses.replace(
                state, weights=without_channels(state.weights, layers, chosen)), report

        return run_round

    report = dict(pruned={name: [int(j) for j in channels] for name, channels in chosen.items()},
                  channels={name: means.shape[1] for name, means in uploads[0].items()},
                  scope=settings.prune_scope)
    sent = 4 * len(uploads) * sum(means.size for means in uploads[0].values())
    return Plan(start, case.recovery_rounds, settings.rule, case.training,
                report=report, rounds_by=rounds_by,
                cost=Cost(rounds=1, bytes_down=4 * case.parameters * len(uploads), bytes_up=sent))
