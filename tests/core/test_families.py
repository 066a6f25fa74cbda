"""Methods by name, by specification and as objects; their settings; where they came from."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from tfunlearn.aggregation import PRE_AGGREGATORS, RULES, Aggregator, Rule, median
from tfunlearn.attacks import ATTACKS, UpdateAttack
from tfunlearn.config.reading import run_config
from tfunlearn.conformance.families import FAMILIES
from tfunlearn.core.errors import UserError
from tfunlearn.core.families import require_origin, require_same, settings_for, short_name
from tfunlearn.core.fields import fields_of, settings_of
from tfunlearn.defenses import UpdateDefense
from tfunlearn.methods.method import UNLEARNING, UnlearningMethod

SOURCE = '''
import numpy as np

def scaled(updates, *, f, strength: float = 2.0, rounds: int | None = None):
    """a scaled median"""
    return (np.median(updates, axis=0) * strength).astype(np.float32)

NUMBER = 3
'''


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path / "mine.py"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_method_says_what_it_is(family):
    for name, method in FAMILIES[family].items():
        assert method.name == name and method.summary and len(method.summary) < 120
        for field, one in fields_of(method.settings).items():
            assert one.help.endswith("."), (name, field)
        assert dataclasses.is_dataclass(method.settings)
        assert method.settings() == method.settings()  # defaults are valid


def test_a_field_of_several_methods_has_one_type_and_default():
    for family in FAMILIES.values():
        for name, field in family.built_in_fields().items():
            for user in family.users(name):
                if user not in family:  # a kind of files, with a name for people only
                    continue
                one = family.fields(user)[name]
                assert (one.kinds, one.default) == (field.kinds, field.default), (user, name)


def test_a_function_in_a_file_is_a_rule_with_its_settings(file):
    name = RULES.name_of("mine.py:scaled")
    assert name == f"{file}:scaled" and short_name(name) == "scaled"
    rule, fields = RULES.find(name), RULES.fields(name)
    assert rule.summary == "a scaled median" and list(fields) == ["strength", "rounds"]
    assert fields["rounds"].kinds == (int, type(None))
    updates = np.arange(15, dtype=np.float32).reshape(5, 3)
    got = Aggregator("mine.py:scaled", 1, strength=3.0)(updates)
    np.testing.assert_array_equal(got, 3 * np.median(updates, axis=0))
    assert RULES.origin(name).file == str(file) and RULES.origin("krum") is None


def test_a_module_a_name_and_an_object_give_the_same(file, monkeypatch):
    monkeypatch.syspath_prepend(str(file.parent))
    updates = np.arange(15, dtype=np.float32).reshape(5, 3)
    import mine

    found = [
        Aggregator(rule, 1)(updates) for rule in ("mine:scaled", "mine.py:scaled", mine.scaled)
    ]
    for one in found[1:]:
        np.testing.assert_array_equal(found[0], one)
    assert RULES.name_of(mine.scaled) == "mine:scaled"
    assert RULES.name_of(RULES["krum"]) == "krum"
    del sys.modules["mine"]


def test_an_object_that_no_module_holds_is_known_in_this_process_only():
    def local(updates, *, f):
        return updates[0]

    name = RULES.name_of(local)
    assert name.startswith("object:") and RULES.find(name).name.endswith("local")
    with pytest.raises(UserError, match="object:gone was given as a Python object"):
        RULES.find("object:gone")


@pytest.mark.parametrize(
    "spec, message",
    [
        ("mine.py:none", "rule: .*mine.py must define 'none'"),
        ("mine.py:scale", "mine.py must define 'scale'; did you mean 'scaled'"),
        ("mine.py", "rule: must be file.py:name.*got 'mine.py'"),
        ("none.py:scaled", "cannot be loaded .*No such file"),
        ("no.such.module:x", "cannot be loaded"),
        ("mine.py:NUMBER", "NUMBER must be of type Rule, or a function.*got int"),
        ("krumm", "did you mean 'krum'.*yours: package.module:name or file.py:name"),
    ],
)
def test_what_is_no_method_is_said(file, spec, message):
    with pytest.raises(UserError, match=message):
        RULES.find(RULES.name_of(spec))


def test_a_method_of_another_family_is_refused():
    with pytest.raises(UserError, match="must be of type UnlearningMethod"):
        UNLEARNING.find("tfunlearn.aggregation.krum:KRUM")
    with pytest.raises(UserError, match="attack: .*must be of type DataAttack"):
        ATTACKS.find("tfunlearn.methods.not_:NOT")


def test_settings_of_functions():
    def knobs(updates, *, f, share: float = 0.5, name: str | None = None, on: bool = False):
        pass

    made = settings_of(knobs, given=("f",))
    assert {name: (field.default, field.kinds) for name, field in fields_of(made).items()} == {
        "share": (0.5, (float,)),
        "name": (None, (str, type(None))),
        "on": (False, (bool,)),
    }

    def without_default(updates, *, share):
        pass

    def of_another_type(updates, *, share: list = ()):
        pass

    for function, message in (
        (without_default, "'share' has no default"),
        (of_another_type, "'share' must be bool.*got .*list"),
    ):
        with pytest.raises(UserError, match=message):
            settings_of(function)


def test_fields_of_methods_that_are_not_chosen():
    """At their defaults they pass, as earlier builds wrote them; else they are refused."""
    chosen = [(RULES, "krum"), (PRE_AGGREGATORS, "bucketing")]
    _, step = settings_for(chosen, {"bucket_size": 3, "clip": None})
    assert step.bucket_size == 3
    with pytest.raises(UserError, match="clip: .* rule krum; it is for centered-clipping.*got 2.0"):
        settings_for(chosen, {"clip": 2.0})
    with pytest.raises(UserError, match="unknown field 'bucketsize'; did you mean 'bucket_size'"):
        settings_for(chosen, {"bucketsize": 3})
    with pytest.raises(UserError, match="bucket_size: .*got '3'"):
        settings_for(chosen, {"bucket_size": "3"})


def test_a_file_that_changed_or_went_is_said_before_it_runs(file):
    name = RULES.name_of("mine.py:scaled")
    origin = dataclasses.asdict(RULES.origin(name))
    require_origin("rule", origin, RULES)
    file.write_text("raise SystemExit")
    with pytest.raises(UserError, match="mine.py, where .* came from, has changed"):
        require_origin("rule", origin, RULES)
    file.unlink()
    with pytest.raises(UserError, match="mine.py, which is missing; put the file back"):
        require_origin("rule", origin, RULES)
    with pytest.raises(UserError, match="the package gone 1.0, which is not installed"):
        require_origin("rule", {"name": "x", "file": None, "package": "gone 1.0"}, RULES)


def test_an_edited_file_is_loaded_again_when_a_configuration_is_made(file, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # caches would hide the edit
    source = SOURCE.replace("rounds:", "top:")
    file.write_text(source)
    updates = np.ones((3, 2), np.float32)
    first = run_config(rule="mine.py:scaled")
    np.testing.assert_array_equal(first.aggregator(updates), [2, 2])
    then = dataclasses.asdict(RULES.origin(RULES.name_of("mine.py:scaled")))
    file.write_text(source.replace("strength: float = 2.0", "strength: float = 5.0"))
    # a configuration in use keeps its method, and the checksum of what it runs
    np.testing.assert_array_equal(first.aggregator(updates), [2, 2])
    assert first.origins()[0][1].sha256 == then["sha256"]
    again = run_config(rule="mine.py:scaled")
    np.testing.assert_array_equal(again.aggregator(updates), [5, 5])
    assert again.origins()[0][1].sha256 != then["sha256"]
    file.write_text(source)  # put back, as a run that began with it demands
    require_origin("rule", then, RULES)
    require_same("rule", then, RULES)
    np.testing.assert_array_equal(Aggregator(f"{file}:scaled", 1)(updates), [2, 2])


def test_one_method_under_two_names_is_applied_once(file, monkeypatch):
    file.write_text("def calmed(weights, *, round_number):\n    return weights\n")
    monkeypatch.syspath_prepend(str(file.parent))
    twice = ["mine.py:calmed", "mine:calmed"]
    with pytest.raises(UserError, match="defense: must be different defenses"):
        run_config(defense=twice)
    run_config(defense=twice[:1])
    with pytest.raises(UserError, match="defense: must be different defenses"):
        run_config(defense=["flap", "tfunlearn.defenses.flap:FLAP"])
    sys.modules.pop("mine", None)


def test_a_file_that_ends_the_program_is_said_in_one_line(file):
    file.write_text("raise SystemExit(3)\n")
    with pytest.raises(UserError, match="^rule: .*mine.py:scaled cannot be loaded .it calls exit"):
        RULES.find(RULES.name_of("mine.py:scaled"))


def test_two_built_in_methods_of_one_name_are_our_mistake(monkeypatch):
    from tfunlearn.aggregation import krum as module
    from tfunlearn.core.families import Family

    monkeypatch.setattr(
        sys.modules["tfunlearn.aggregation.krum"],
        "TWIN",
        Rule(name="krum", summary="", apply=lambda updates, given, own: median(updates)),
        raising=False,
    )
    family = Family("rule", field="rule", kind=Rule, package="tfunlearn.aggregation")
    with pytest.raises(RuntimeError, match="two methods named krum"):
        family["krum"]
    assert callable(module)


def test_functions_that_cannot_be_called_as_methods_are_refused():
    def two(updates, tau):
        return updates[0]

    def none():
        return None

    for family, function in ((RULES, two), (RULES, none), (RULES, max), (ATTACKS, none)):
        with pytest.raises(UserError, match=f"{function.__name__}: must be a function .*; got"):
            family.name_of(function)
    for name in ("seed", "sizes", "before"):
        scope = {}
        exec(f"def r(updates, *, {name}=3): return updates[0]", scope)
        with pytest.raises(UserError, match=f"rule: r must have settings of other names.*{name}"):
            RULES.name_of(scope["r"])
    for name in ("rounds", "stop", "training", "reference"):
        scope = {}
        exec(f"def u(task, *, {name}=3): return []", scope)
        with pytest.raises(UserError, match=f"method: .*'{name}'"):
            UNLEARNING.name_of(scope["u"])


def test_errors_and_results_of_functions_are_said_in_one_line():
    def fails(updates):
        raise RuntimeError("first\nsecond")

    def scalar(updates):
        return 1.0

    updates = np.ones((5, 3), np.float32)
    with pytest.raises(UserError, match=r"rule: fails raised RuntimeError \(.*py:\d+: first\)"):
        Aggregator(fails)(updates)
    with pytest.raises(
        UserError, match=r"must return an array of shape \(3,\) of real numbers; got float"
    ):
        Aggregator(scalar)(updates)


def test_a_rule_without_f_is_not_taken_for_the_mean():
    rule = Rule(name="first", summary="s", apply=lambda u, given, own: u[0] * 0, takes_f=False)
    assert not Aggregator(rule).is_plain_mean and Aggregator("mean").is_plain_mean


def test_functions_of_one_name_stay_apart():
    def scaled(factor):
        def rule(updates):
            return updates[0] * factor

        return rule

    one, two = Aggregator(scaled(1)), Aggregator(scaled(2))
    updates = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(one(updates), [1, 1])
    np.testing.assert_array_equal(two(updates), [2, 2])
    assert one.replace(seed=1)(updates)[0] == 1


def test_a_declared_method_comes_from_its_own_file(tmp_path, monkeypatch):
    (tmp_path / "ours.py").write_text(
        "from tfunlearn.attacks import UpdateAttack\n"
        "ATTACK = UpdateAttack(name='a', summary='s', craft=lambda view, own: view.own)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    origin = ATTACKS.origin("ours:ATTACK")
    assert origin.file == str(tmp_path / "ours.py")
    require_same("attack", dataclasses.asdict(origin), ATTACKS)
    with pytest.raises(UserError, match="attack: ours:ATTACK is now that of .*ours.py"):
        require_same("attack", {**dataclasses.asdict(origin), "sha256": "0" * 64}, ATTACKS)
    del sys.modules["ours"]


def test_declarations_must_fit_their_family():
    @dataclasses.dataclass(frozen=True)
    class Own:
        pass

    with pytest.raises(UserError, match="settings: must be a dataclass.*got"):
        Rule(name="r", summary="s", apply=lambda u, given, own: u[0], settings=dict)
    with pytest.raises(UserError, match="settings: must be a subclass of KnowledgeSettings"):
        UpdateAttack(name="a", summary="s", craft=lambda view, own: view.own, settings=Own)
    with pytest.raises(UserError, match="settings: must be a dataclass with the fields reject"):
        UpdateDefense(name="d", summary="s", criteria=("loss",), settings=Own)
    with pytest.raises(UserError, match="settings: must be a subclass of MethodSettings"):
        UnlearningMethod(name="u", summary="s", plan=lambda task, own: None, settings=Own)


def test_settings_of_one_name_have_one_value_in_a_run():
    def rule(updates, *, lr=0.5):
        return updates[0]

    def attack(view, *, strength=2.0):
        return view.own

    def defense(weights, *, strength=1.0):
        return weights

    with pytest.raises(UserError, match="rule: .* other names than the fields of a run; got 'lr'"):
        run_config(rule=rule)
    with pytest.raises(UserError, match="strength: must be equal in .*got 2.0 and 1.0"):
        run_config(attack=attack, defense=(defense,))
    config = run_config(attack=attack, defense=(defense,), strength=3.0)
    assert [own.strength for section in (config.attack, config.defense) for own in section.own] == [
        3.0,
        3.0,
    ]
