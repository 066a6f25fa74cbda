"""Every method's plan by name."""

from __future__ import annotations

from tfunlearn.core.errors import choose
from tfunlearn.methods.task import Case, Plan
from tfunlearn.methods.cdp import plan_cdp
from tfunlearn.methods.ablation_channel import plan_ablation_channel
from tfunlearn.methods.fedau import plan_fedau
from tfunlearn.methods.fedosd import plan_fedosd
from tfunlearn.methods.memorization import plan_memorization
from tfunlearn.methods.plans import (
    plan_exclude, plan_fedrecovery, plan_fedup, plan_finetune, plan_not, plan_pga,
    plan_rapid_retrain, plan_retrain)
from tfunlearn.methods.federaser import plan_federaser

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
