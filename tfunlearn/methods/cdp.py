"""CDP: unlearning of classes by class-discriminative pruning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from tfunlearn.core.errors import choose, require, require_real
from tfunlearn.core.fields import option
from tfunlearn.methods.cost import Cost
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.recovery import RecoverySettings, milder_setting
from tfunlearn.methods.requirements import methods_for
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.pruning.channels import channel_layers, masks_of, without_channels
from tfunlearn.training.rounds import rounds_of
from tfunlearn.unlearning import ClassActivations, discriminative_channels, mean_over_clients
from tfunlearn.unlearning.class_discriminative import SCOPES


@dataclass(frozen=True)
class CDPSettings(RecoverySettings):
    """Settings of CDP."""

    prune_share: float = option(0.1, "Share of channels to prune.")
    prune_scope: str = option("layer", f"Scope of the share: {', '.join(SCOPES)}.")

    def __post_init__(self):
        super().__post_init__()
        require_real("prune_share", self.prune_share, lambda r: 0 < r < 1, "a share > 0 and < 1")
        choose("prune_scope", self.prune_scope, dict.fromkeys(SCOPES))


def plan(task: UnlearningTask, own: CDPSettings) -> Plan:
    """Plan CDP: prune channels by TF-IDF, keep them at zero, and fine-tune on the retain set.

    A pruned channel's gamma and beta are zeroed too, so that its output is zero, not a constant.

    Deviation: the kernel slices that read a pruned channel are left unchanged; their input is zero,
    and so is their gradient.

    Reference:
        Wang et al., "Federated Unlearning via Class-Discriminative Pruning" (WWW 2022, arXiv
        2110.11794).
    """
    classes, federation = task.forgotten_classes, task.source.remaining
    require(
        "forget",
        task.request,
        task.classes_only,
        f"classes only, with cdp; this request is taken by {methods_for(task)}",
    )
    source = task.source
    model, held = source.model, federation.held(source.rounds)
    model.set_weights(source.state.weights)
    activations = ClassActivations(model)
    uploads = [
        activations(held.features[held.rows(k)], held.labels[held.rows(k)], federation.data.classes)
        for k in task.track(list(held.present))
    ]
    chosen = discriminative_channels(
        mean_over_clients(uploads), classes, share=own.prune_share, scope=own.prune_scope
    )
    layers = channel_layers(model, "filter+bn")
    fixed = masks_of(layers, chosen, [weight.shape for weight in source.state.weights])
    start = without_channels(source.state.weights, layers, chosen)
    keeps = source.federation.history.keeps

    def rounds_by(keep: Callable | None) -> Callable:
        engine = rounds_of(
            task.recovering,
            model,
            training=task.training,
            keep=keep,
            gather=keeps,
            seed=task.seed,
            movable=[~mask for mask in fixed],
        )

        def run_round(state, cohort):
            state, report = engine(state, cohort)  # clients may move pruned channels
            return dataclasses.replace(
                state, weights=without_channels(state.weights, layers, chosen)
            ), report

        return run_round

    report = dict(
        pruned={name: [int(j) for j in channels] for name, channels in chosen.items()},
        channels={name: means.shape[1] for name, means in uploads[0].items()},
        scope=own.prune_scope,
    )
    sent = 4 * len(uploads) * sum(means.size for means in uploads[0].values())
    return Plan(
        start,
        task.recovery_rounds,
        own.stop_rule,
        task.training,
        report=report,
        rounds_by=rounds_by,
        cost=Cost(rounds=1, bytes_down=4 * task.parameters * len(uploads), bytes_up=sent),
    )


def describe(report: dict) -> list[str]:
    layers = len(report["channels"])
    return [
        f"{sum(map(len, report['pruned'].values()))} of {sum(report['channels'].values())} "
        f"channels of {layers} convolution{'s' * (layers != 1)} pruned"
    ]


CDP = UnlearningMethod(
    name="cdp",
    summary="prunes the most class-discriminative channels of the forgotten classes (TF-IDF); "
    "recovery",
    paper="Wang et al., WWW 2022, arXiv 2110.11794",
    settings=CDPSettings,
    plan=plan,
    requests={"classes": ""},
    describe=describe,
    milder=milder_setting("prune_share", 0.5),
)
