"""Every method's plan by name."""

from __future__ import annotations

from tfunlearn.core.errors import choose
from tfunlearn.experiment.unlearning.case import Case, Plan
from tfunlearn.experiment.unlearning.cdp_plan import plan_cdp
from tfunlearn.experiment.unlearning.channel_plans import plan_ablation_channel
from tfunlearn.experiment.unlearning.fedau_plan import plan_fedau
from tfunlearn.experiment.unlearning.fedosd_plan import plan_fedosd
from tfunlearn.experiment.unlearning.memorization_plan import plan_memorization
from tfunlearn.experiment.unlearning.plans import (
    plan_exclude, plan_fedrecovery, plan_fedup, plan_finetune, plan_not, plan_pga,
    plan_rapid_retrain, plan_retrain)
from tfunlearn.experiment.unlearning.rebuilding import plan_federaser

PLANS = {
    "fedup": plan_fedup,
    "exclude": plan_exclude,
    "retrain": plan_retrain,
    "finetune": plan_finetune,
    "federaser": plan_federaser,
    "pga": plan_pga,
    "fedrecovery": plan_fedrecovery,
    "not": plan_not,
    "rapid-retrain": plan_rapid_retrain,
    "ablation-channel": plan_ablation_channel,
    "cdp": plan_cdp,
    "memorization": plan_memorization,
    "fedosd": plan_fedosd,
    "fedau": plan_fedau,
}


def plan_of(case: Case) -> Plan:
    """Returns the plan of the case's method.

    Raises:
        UserError: the method cannot do this: not for such a request, or with too little history.
    """
    return choose("method", case.settings.method, PLANS)(case)
