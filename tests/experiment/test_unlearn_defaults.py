"""Default method of a request, its stated reason, and refusal of failed unlearnings as input."""

from __future__ import annotations

import numpy as np
import pytest
from unlearn_cases import SMALL, quick

from tfunlearn.core.errors import UserError
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.gme import GmeSettings, study_memorization
from tfunlearn.experiment.unlearning import Watch, resume_unlearning, unlearn, unlearn_settings
from tfunlearn.experiment.verification import verify
from tfunlearn.methods.source import open_source
from tfunlearn.workflows.evaluate.evaluate import evaluate
from tfunlearn.workflows.report import facts_of, report
from tfunlearn.workflows.unlearn.workflow import task_of

RUIN = dict(ratio=1, reset_rule="zeros", recovery_rounds=6)


@pytest.fixture(scope="module")
def source(kept_run):
    return open_source(kept_run.directory.path)


def chosen(source, *words, **more):
    task = task_of(source, unlearn_settings(forget=words, reference=False, **more))
    return task.settings.method, task.reason


def test_the_method_fits_the_request(source):
    attackers = [f"client:{k}" for k in source.federation.malicious]
    honest = next(f"client:{k}" for k in range(6) if f"client:{k}" not in attackers)
    assert chosen(source, "malicious") == ("fedup", "made for clients that attacked")
    assert chosen(source, *attackers)[0] == "fedup"
    method, reason = chosen(source, honest)
    assert method == "memorization" and reason.startswith(f"client {honest[7:]} did not attack")
    assert chosen(source, attackers[0], honest)[0] == "memorization"
    assert chosen(source, "class:1", "class:2") == ("ablation-channel", "made for classes")
    assert task_of(source, unlearn_settings(forget=["class:1"])).own.mode == "decentralized"
    assert chosen(source, "example:0:1") == (
        "memorization",
        "the request is not whole clients only",
    )
    assert chosen(source, "class:1", "client:0")[0] == "memorization"


def test_without_a_kept_round_fedup_is_not_chosen(tmp_path):
    run = train(run_config(**{**SMALL, "history": "none", "rounds": 1}), out=tmp_path / "run")
    method, reason = chosen(open_source(run.directory.path), "malicious")
    assert method == "memorization" and reason.startswith("fedup cannot work here: history")


def test_a_named_method_is_obeyed_with_a_warning(source):
    honest = next(k for k in range(6) if k not in source.federation.malicious)
    task = task_of(source, unlearn_settings(method="fedup", forget=[f"client:{honest}"]))
    assert task.settings.method == "fedup" and task.reason is None
    assert f"client {honest} did not attack" in task.warnings[0]
    assert not task_of(source, unlearn_settings(method="fedup")).warnings


def test_settings_of_a_method_that_was_not_chosen_are_refused(source):
    with pytest.raises(UserError, match="ratio: .*with method .*got 0.3"):
        chosen(source, "malicious", ratio=0.3)


def test_what_was_forgotten_before_is_dropped_and_said(copied):
    first = unlearn(copied, quick("finetune", forget=["client:0", "class:3"]))
    federation = open_source(copied).federation
    own = federation.clients.labels[federation.clients.rows(1)]
    gone = f"example:1:{int(np.flatnonzero(own == 3)[0])}"
    seen = []
    second = unlearn(
        first.directory.path,
        quick("finetune", forget=["client:0", "client:2", gone]),
        watch=Watch(start=lambda task, *_: seen.append(task.dropped)),
    )
    assert seen == [("client:0", gone)] and second.notes["dropped"] == ["client:0", gone]
    assert second.notes["requests"] == [["client:0", "class:3"], ["client:2"]]
    before = first.notes["measured"]["after"]["forget_accuracy"]
    assert second.notes["measured"]["before"]["earlier_forget_accuracy"] == pytest.approx(before)
    assert "earlier_forget_accuracy" in second.metrics[-1]
    with pytest.raises(UserError, match="forget: .*forgotten before.*got 'client:0'"):
        unlearn(first.directory.path, quick("finetune", forget=["client:0"]))


def test_refusals_name_every_method_and_the_whole_request(copied):
    words = [f"example:0:{index}" for index in range(30)]
    with pytest.raises(UserError) as caught:
        unlearn(copied, quick("pga", forget=words))
    assert " ".join(words) in str(caught.value)
    assert "memorization" in str(caught.value) and "cdp" not in str(caught.value)
    with pytest.raises(
        UserError, match="whole clients.*got 'class:3'.*taken by .*ablation-channel, cdp"
    ):
        unlearn(copied, quick("federaser", forget=["class:3"]))
    with pytest.raises(UserError, match="classes only, with cdp; .*federaser.*got 'client:0'"):
        unlearn(copied, quick("cdp", forget=["client:0"]))


def test_exclude_takes_anything_with_a_fraction(copied):
    assert unlearn(copied, quick("exclude", forget=["class:3"], fraction=0.3)).notes["rounds"] == 2
    with pytest.raises(UserError, match="whole clients with exclude; got 'class:3'"):
        unlearn(copied, quick("exclude", forget=["class:3"], fraction="auto"))


def test_no_recovery_at_all(copied):
    for method in ("fedup", "not", "memorization"):
        knobs = {"stop": None} if method == "fedup" else {}
        got = unlearn(copied, quick(method, recovery_rounds=0, **knobs))
        assert got.notes["rounds"] == (1 if method == "memorization" else 0) and not got.failed
    assert (
        unlearn(copied, quick("fedosd", recovery_rounds=0, unlearn_rounds=2)).notes["rounds"] == 2
    )


@pytest.fixture(scope="module")
def ruined(kept_run, tmp_path_factory):
    import shutil

    folder = tmp_path_factory.mktemp("ruined")
    shutil.copytree(kept_run.directory.path, folder / "run")
    return unlearn(folder / "run", quick("memorization", **RUIN))


def test_a_ruin_is_kept_and_marked(ruined):
    assert ruined.failed and ruined.directory.model.exists()
    again = unlearn(ruined.directory.path.parent / "run", quick("memorization", **RUIN))
    assert not again.new and again.failed == ruined.failed
    assert resume_unlearning(ruined.directory.path).failed == ruined.failed


def test_nothing_downstream_takes_a_ruin_for_an_unlearning(ruined, tmp_path):
    path = ruined.directory.path
    for call in (
        lambda: verify(path),
        lambda: unlearn(path, quick("finetune", forget=["class:3"])),
        lambda: study_memorization([path], GmeSettings(retrains=2)),
    ):
        with pytest.raises(UserError, match="is no unlearned run: memorization has ruined"):
            call()
    assert evaluate(path).failed == ruined.failed and not evaluate(path).local
    facts = facts_of(path)
    assert facts.word == "failed" and facts.verdict.startswith("This unlearning failed")
    page = (report([path], out=tmp_path / "page") / "report.html").read_text()
    opening = page[page.index('class="verdict failed"') :][:200]
    assert "This unlearning failed, and its model is unusable: memorization has ruined" in opening
