"""Mistakes in users' methods: declarations, settings, results; one line each, when named or run."""

from __future__ import annotations

import dataclasses
import errno
import sys
import typing
from dataclasses import dataclass

import numpy as np
import pytest

from tfunlearn.aggregation import RULES, Aggregator, PreAggregator, Rule
from tfunlearn.attacks import ATTACKS, Attack, BoostAttack, UpdateAttack
from tfunlearn.attacks.poisoning import require_poisoned
from tfunlearn.conformance.families import FAMILIES
from tfunlearn.conformance.finding import findings_of
from tfunlearn.core.declarations import require_declaration, require_settings
from tfunlearn.core.errors import FailedRun, Terminated, UserError, WorkerError
from tfunlearn.core.fields import option, reporting
from tfunlearn.core.results import as_array, as_weights
from tfunlearn.datasets.dataset import require_labeled_data
from tfunlearn.datasets.labeled_data import LabeledData
from tfunlearn.defenses import DEFENSES, Defense, ModelDefense

UPDATES = np.arange(15, dtype=np.float32).reshape(5, 3)


def rule(apply=lambda updates, given, own: updates[0], **fields) -> Rule:
    return Rule(**{"name": "mine", "summary": "mine", "apply": apply, **fields})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_built_in_method_fulfils_what_is_asked_of_users(family):
    for method in FAMILIES[family].values():
        require_declaration(method)
        require_settings(method.settings, method.name, FAMILIES[family].flags)


def settings(**fields) -> type:
    return dataclasses.make_dataclass("Own", [(n, *rest) for n, rest in fields.items()])


@pytest.mark.parametrize(
    "own, message",
    [
        (settings(scale=(float, option(None, "h"))), "scale: .*default of its type float.*None"),
        (settings(k=(int, option(1.5, "h"))), "k: must have a default of its type int.*got 1.5"),
        (settings(k=(float, option(np.float32(1), "h"))), "k: must have a default of its type"),
        (settings(k=(int, option(dataclasses.MISSING, "h"))), "k: must have a default.*got none"),
        (
            settings(k=(int, 3)),
            "rule: settings of mine: every field must be declared as option.*got 'k'",
        ),
        (settings(mode=(typing.Literal["a"], option("a", "h"))), "mode: must be annotated as bool"),
        (settings(k=(list[int], option((), "h"))), "k: must be annotated as bool"),
        (settings(k=("Nope", option(1, "h"))), "settings of mine: their types cannot be read"),
        (settings(weights=(float, option(1.0, "h"))), "other names than .*weights.*got 'weights'"),
        (settings(out=(str, option("a", "h"))), "other names than .*got 'out'"),
        (settings(no_gather=(bool, option(True, "h"))), "without leading no_.*got 'no_gather'"),
        (settings(K=(int, option(1, "h"))), "in lower case.*got 'K'"),
    ],
)
def test_settings_that_flags_or_files_cannot_hold_are_refused(own, message):
    with pytest.raises(UserError, match=message):
        RULES.name_of(rule(settings=own))


def test_a_default_of_a_function_must_fit_its_annotation():
    def none(updates, *, scale: float = None):  # pyright: ignore[reportArgumentType]
        return updates[0]

    with pytest.raises(UserError, match="rule: none: the default of parameter 'scale'.*got None"):
        RULES.name_of(none)


@pytest.mark.parametrize(
    "made, message",
    [
        (lambda: rule(least=3), "least: must be a function in the declaration of mine; got 3"),
        (lambda: rule(apply=None), "apply: must be a function"),
        (lambda: rule(name=None), "name: must be text"),
        (lambda: rule(is_mean="yes"), "is_mean: must be True or False"),
    ],
)
def test_fields_of_another_type_are_refused(made, message):
    with pytest.raises(UserError, match=message):
        RULES.name_of(made())


def test_a_base_class_is_no_method():
    with pytest.raises(UserError, match="attack: .* must be of type DataAttack, UpdateAttack, B"):
        ATTACKS.name_of(Attack(name="mine", summary=""))
    with pytest.raises(UserError, match="defense: .* must be of type UpdateDefense, ModelDefense"):
        DEFENSES.name_of(Defense(name="mine", summary=""))


@pytest.mark.parametrize(
    "found, message",
    [
        (None, "rule: mine must return an array of shape .3,. of real numbers; got NoneType"),
        (UPDATES[0, :2], "got ndarray of shape .2,. and type float32"),
        ("abc", "got str of shape"),
        (UPDATES[0] + 1j, "type complex"),
        ([1, [2]], "got list, which is not an array"),
        (UPDATES[0] * np.nan, "rule: mine must return finite numbers; got NaN or infinity"),
        (UPDATES[0].astype(float) + 1e300, "rule: mine must return finite numbers"),
    ],
)
def test_results_of_a_rule(found, message):
    with pytest.raises(UserError, match=message):
        Aggregator(rule(lambda updates, given, own: found), 0)(UPDATES)


@pytest.mark.parametrize("kind", [list, np.asarray, lambda row: np.asarray(row, np.float64)])
def test_numbers_of_any_real_type_become_float32(kind):
    def first(updates):
        return kind(updates[0])

    for mine in (first, rule(lambda updates, given, own: kind(updates[0]))):
        found = Aggregator(mine, 0)(UPDATES)
        assert found.dtype == np.float32 and (found == UPDATES[0]).all()


def test_results_of_a_step_before_a_rule():
    for found, message in (
        (UPDATES[:0], "before: mine must return an array of shape .rows, 3. with .*shape .0, 3."),
        (UPDATES[0], "before: mine must return an array of shape .3, 3.*got ndarray of shape .3,."),
        (None, "before: mine must return an array of shape .rows, 3.*got NoneType of shape ..$"),
        (UPDATES + np.inf, "before: mine must return finite numbers"),
    ):
        step = PreAggregator(name="mine", summary="mine", apply=lambda *_, found=found: found)
        with pytest.raises(UserError, match=message):
            Aggregator("mean", 0, before=(step,))(UPDATES)


@pytest.mark.parametrize(
    "images, labels",
    [
        (lambda x: x[:1], lambda y: y[:1]),
        (lambda x: x, lambda y: y + 0.5),
        (lambda x: x.astype(np.float32), lambda y: y),
        (lambda x: x, lambda y: y + 9),
        (lambda x: x, lambda y: y - 1),
        (lambda x: x[..., 0], lambda y: y),
    ],
)
def test_results_of_an_attack_on_data(images, labels):
    x, y = np.zeros((4, 2, 2, 1), np.uint8), np.arange(4)
    require_poisoned("mine", (x, y[::-1]), x, y, classes=10)
    with pytest.raises(UserError, match="attack: mine must return .images, labels., uint8 .4, 2"):
        require_poisoned("mine", (images(x), labels(y)), x, y, classes=10)
    for odd, got in ((None, "NoneType"), ((list(x[:1]) + [x[0, :1]], y), "tuple")):
        with pytest.raises(UserError, match=f"got {got}"):
            require_poisoned("mine", odd, x, y)


def test_weights_of_a_defense_or_an_unlearning():
    like = [np.zeros((2, 3), np.float32), np.zeros(3, np.float32)]
    found = as_weights("defense", "mine", [np.ones((2, 3)), [1, 2, 3]], like)
    assert [part.dtype for part in found] == [np.float32] * 2
    for wrong, message in (
        (None, "a list of 2 arrays.*got NoneType"),
        (like[:1], "got list of 1"),
        ([like[0].astype(str), like[1]], "of real numbers; got ndarray .* type <U32"),
        ([like[0] * np.nan, like[1]], "finite numbers"),
    ):
        with pytest.raises(UserError, match=message):
            as_weights("defense", "mine", wrong, like)
    with pytest.raises(UserError, match="a Plan, or a list of 2 arrays"):
        as_weights("method", "mine", 3, like, or_else="a Plan")


def test_weights_that_were_not_finite_before_are_not_the_methods_fault():
    broken = [np.array([np.nan, 1], np.float32)]
    assert np.isnan(as_weights("defense", "mine", broken, broken)[0][0])


class Stage:
    """A stage with the attributes of one that also runs inside TFF."""

    def __init__(self, result):
        self.result = result

    def __call__(self, round_number, weights):
        return self.result(weights), {"layer": round_number}

    def on_tensors(self):
        return "tensors"

    def records_of(self):
        return "records"


def test_stages_of_every_kind_are_checked_and_keep_their_attributes():
    from tfunlearn.training.rounds import _stage

    weights = [np.ones(2, np.float32)]
    for stage in (Stage(list), lambda number, found: (found, {"layer": number})):
        made = ModelDefense(name="mine", summary="", build=lambda *_, stage=stage: stage)
        checked = _stage(made, None, True, None)
        found, records = checked(3, weights)
        assert (found[0] == 1).all() and records == {"layer": 3}
        assert hasattr(checked, "on_tensors") == isinstance(stage, Stage)
    for result, message in (
        (lambda _: [np.nan * weights[0]], "finite"),
        (lambda _: None, "list of"),
    ):
        made = ModelDefense(name="mine", summary="", build=lambda *_, r=result: Stage(r))
        with pytest.raises(UserError, match=f"defense: mine must return .*{message}"):
            _stage(made, None, True, None)(1, weights)
    made = ModelDefense(name="mine", summary="", build=lambda *_: lambda number, found: found)
    with pytest.raises(UserError, match="defense: mine must return .weights, records by layer."):
        _stage(made, None, True, None)(1, weights)


def test_data_sets():
    good = dict(
        name="mine",
        features=np.zeros((4, 2, 2, 1), np.uint8),
        labels=np.zeros(4, int),
        test_features=np.zeros((2, 2, 2, 1), np.uint8),
        test_labels=np.zeros(2, int),
        classes=2,
    )
    assert require_labeled_data("mine", LabeledData(**good)).classes == 2
    for wrong in (
        {"features": np.zeros((4, 2, 2, 1), np.float32)},
        {"features": np.zeros((4, 4), np.uint8)},
        {"test_features": np.zeros((2, 3, 2, 1), np.uint8)},
        {"test_features": np.zeros((0, 2, 2, 1), np.uint8), "test_labels": np.zeros(0, int)},
    ):
        with pytest.raises(
            UserError, match="dataset: mine must have training and test features of one shape"
        ):
            require_labeled_data("mine", LabeledData(**{**good, **wrong}))
    with pytest.raises(UserError, match="dataset: mine must return a LabeledData; got NoneType"):
        require_labeled_data("mine", None)


@dataclass(frozen=True)
class Odd:
    x: int = option(1, "A number.")

    def __post_init__(self):
        if self.x == 2:
            raise ValueError("odd numbers only")
        if self.x == 4:
            sys.exit(7)


@pytest.mark.parametrize("x, message", [(2, "ValueError .odd numbers only."), (4, "SystemExit")])
def test_checks_of_settings_that_raise_something_else(x, message):
    with pytest.raises(UserError, match=f"rule: the settings of .* raised {message}.*got .'x': "):
        Aggregator(rule(settings=Odd), 0, x=x)


class Wordless(Exception):
    def __str__(self):
        raise ValueError


@pytest.mark.parametrize("error", [ZeroDivisionError("zero"), SystemExit(), GeneratorExit()])
def test_errors_of_declared_functions_are_one_line(error):
    def fail(*_):
        raise error

    kind = type(error).__name__
    with pytest.raises(UserError, match=f"rule: mine raised {kind} .*test_declarations.py:"):
        Aggregator(rule(fail), 0)(UPDATES)
    name = ATTACKS.name_of(UpdateAttack(name="mine", summary="", craft=fail))
    with pytest.raises(UserError, match=f"attack: mine raised {kind}"):
        ATTACKS.find(name).craft(None, None)
    name = ATTACKS.name_of(BoostAttack(name="mine", summary="", factor=fail))
    with pytest.raises(UserError, match=f"attack: mine raised {kind}"):
        ATTACKS.find(name).factor(3, 1)


def test_a_returned_function_reports_likewise_and_signals_pass():
    def build():
        def stage():
            raise Wordless

        return stage

    with pytest.raises(UserError, match="defense: mine raised Wordless .*: Wordless"):
        reporting("defense", build, "mine")()()

    full = OSError(errno.ENOSPC, "No space left")
    for error in (Terminated(143), WorkerError(), FailedRun(), MemoryError(), full):

        def fail(error=error):
            raise error

        with pytest.raises(type(error)):
            reporting("rule", fail)()
        check = findings_of if isinstance(error, Terminated) else None
        if check:
            with pytest.raises(Terminated):
                check({"property": lambda _: fail()}, None)


def test_an_array_keeps_its_bits():
    row = np.float32([1e-45, -0.0, 3.4e38])
    assert as_array("rule", "mine", row, (3,)) is row
