"""The report in a browser: complete, silent, readable on a phone and by keyboard."""

from __future__ import annotations

import csv
import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tfunlearn.core.errors import UserError
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import unlearn, unlearn_settings
from tfunlearn.experiment.verification import VerifySettings, verify
from tfunlearn.methods.source import open_source
from tfunlearn.report.page import Page
from tfunlearn.runs.run_directory import RunDirectory, unlearning_record
from tfunlearn.training.train import TrainingRun
from tfunlearn.workflows.profile import record_profile
from tfunlearn.workflows.report import report
from tfunlearn.workflows.unlearn.workflow import UnlearningRun

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a trained, an unlearned and verified, an unverified and a retrained run, and
    the reports `one` and `all`."""
    folder = tmp_path_factory.mktemp("reported")
    train(
        run_config(
            train_examples=240,
            clients=5,
            rounds=3,
            lr=3e-3,
            malicious=1,
            attack="label-flip",
            defense="flap",
            prune_every=2,
            history="last",
        ),
        out=folder / "run",
    )
    for method in ("not", "finetune"):
        unlearn(folder / "run", unlearn_settings(method=method, recovery_rounds=2))
    verify(
        folder / "run-not",
        VerifySettings(retrains=3, relearn_epochs=1, shadow_models=1, shadow_epochs=1),
    )
    report([folder / "run-not"], out=folder / "one")
    report(
        [folder / name for name in ("run", "run-not", "run-finetune", "run-retrain")],
        out=folder / "all",
    )
    return folder


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.fixture(params=["one", "all"])
def opened(request, browser, made):
    """A page with a report, offline, and what its console and network had to say."""
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 900})
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request",
        lambda asked: (
            said.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None
        ),
    )
    page.goto((made / request.param / "report.html").as_uri())
    yield page, said
    context.close()


def test_it_opens_offline_without_an_error_and_every_figure_is_there(opened, request):
    page, said = opened
    assert said == []
    shown = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth, i.alt])")
    assert len(shown) >= (8 if request.node.callspec.params["opened"] == "one" else 14)
    assert all(complete and width > 300 and len(alt) > 40 for complete, width, alt in shown)
    assert page.title().startswith("Report on")


def test_headings_tables_and_names_for_a_screen_reader(opened):
    page, _ = opened
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:]))
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("main").count() == page.locator("nav[aria-label]").count() == 1
    bare = page.evaluate("""[...document.querySelectorAll('table')].filter(t => !t.caption
        || [...t.tHead.rows[0].cells].some(c => c.tagName != 'TH' || c.scope != 'col')
        || [...t.tBodies[0].rows].some(r => r.cells[0].scope != 'row')).length""")
    assert bare == 0 and page.locator("table").count() >= 6
    links = page.evaluate("""[...document.querySelectorAll('nav a')].map(
        a => !!document.querySelector(a.getAttribute('href')))""")
    assert links and all(links)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_the_keyboard_reaches_the_report_and_opens_what_is_folded(opened):
    page, _ = opened
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")


def test_it_fits_a_phone(opened):
    page, _ = opened
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    widest = page.evaluate(
        "Math.max(...[...document.images].map(i => i.getBoundingClientRect().right))"
    )
    assert widest <= 360


def test_it_prints_with_everything_unfolded(opened, tmp_path):
    page, _ = opened
    assert page.evaluate("[...document.querySelectorAll('details')].some(d => d.open)") is False
    page.pdf(path=str(tmp_path / "report.pdf"))
    assert (tmp_path / "report.pdf").stat().st_size > 100_000
    assert page.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")


def shown_table(page, caption: str) -> list[list[float | None]]:
    """Returns the numbers of the first table of that caption."""
    return page.evaluate(
        """caption => {
        const table = [...document.querySelectorAll('table')].find(
            t => t.caption.textContent == caption);
        return [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => {
            const number = cell.querySelector('data');
            return number ? Number(number.value) : null; }));
    }""",
        caption,
    )


def test_numbers_equal_the_metrics_file(opened, made):
    page, _ = opened
    for run, caption in (
        ("run", "Training, round by round"),
        ("run-not", "Unlearning, round by round"),
    ):
        lines = [json.loads(line) for line in (made / run / "metrics.jsonl").open()]
        rows = shown_table(page, caption)
        assert len(rows) == len(lines)
        with open(
            made / "one" / ("run1_training.csv" if run == "run" else "run1_unlearning.csv")
        ) as file:
            written = list(csv.DictReader(file))
        head = [name.replace(" ", "_") for name in written[0]]
        for row, line, cells in zip(rows, lines, written):
            for name, value in zip(head, row):
                expected = line[name]
                if isinstance(expected, (list, dict)):
                    expected = len(expected)
                if isinstance(expected, (int, float)):
                    assert value == expected == float(cells[name.replace("_", " ")])
    record = json.loads((made / "run-not" / "verification" / "verification.json").read_text())
    rows = shown_table(page, "Evidence")
    assert [row[1:5] for row in rows] == [
        [e["before"], e["after"], e["mean"], e["noise"]] for e in record["evidence"]
    ]


def test_what_it_says(made):
    text = (made / "one" / "report.html").read_text()
    notes = json.loads((made / "run-not" / "unlearning.json").read_text())
    record = json.loads((made / "run-not" / "verification" / "verification.json").read_text())
    plain = re.sub(r"<[^>]+>", "", text)
    for words in (
        "Request",
        "Forget client:",
        "What was not tested",
        "Method not",
        "optimizer",
        notes["checkpoint_sha256"],
        "tolerance of 0.01",
        "All 1 verification of this model",
        f"(seeds {record['retrained'][0]['seed']}",
    ):
        assert words in plain, words
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    together = re.sub(r"<[^>]+>", "", (made / "all" / "report.html").read_text())
    for words in (
        "Side by side",
        "Not verified yet",
        "nothing was unlearned",
        "retrained without the forget set",
    ):
        assert words in together, words


def test_pictures_and_tables_lie_beside_it(made):
    names = {path.name for path in (made / "one").iterdir()}
    for name in ("training", "unlearning", "roc", "clients", "confusion", "groups", "relearning"):
        assert {f"run1_{name}.png", f"run1_{name}.csv"} <= names, name
    for path in (made / "one").glob("*.png"):
        with Image.open(path) as picture:
            assert len(set(picture.convert("L").resize((60, 40)).getdata())) > 5, path.name
    with open(made / "all" / "side_by_side.csv") as file:
        assert next(csv.reader(file)) == ["", "run", "run-not", "run-finetune", "run-retrain"]


def test_texts_are_escaped(tmp_path):
    page = Page("<script>alert(1)</script>", "a & b")
    page.heading(2, '"><img src=x>')
    page.table("<b>", ["<i>"], [["<u>", "'\""], [1.5, None]])

    class Tags(html.parser.HTMLParser):
        found = []

        def handle_starttag(self, tag, attributes):
            self.found.append(tag)

    Tags().feed(page.text())
    assert not {"img", "b", "i", "u"} & set(Tags.found) and Tags.found.count("script") == 1
    assert '<data value="1.5">1.5</data>' in page.text()


def test_a_report_is_never_written_over(made, monkeypatch):
    with pytest.raises(UserError, match="out: .*a new folder; got .*one"):
        report([made / "run"], out=made / "one")
    with pytest.raises(UserError, match="at least one run"):
        report([])
    monkeypatch.chdir(made)
    assert [report(["run-finetune"]).name for _ in range(2)] == [
        "run-finetune-report",
        "run-finetune-report-2",
    ]
    assert not [path for path in made.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "words",
    [
        "report run-not run-retrain --out light",
        "verify run-not --retrains 3 --relearn-epochs 1 --shadow-models 1 --shadow-epochs 1",
        "unlearn run --method not --recovery-rounds 2",
    ],
)
def test_what_is_recorded_is_shown_without_tensorflow(made, words):
    """`report` reads the verification; `verify` and `unlearn` find what was done before."""
    before = sorted(path.name for path in made.glob("run*/*"))
    code = (
        f"import sys, tfunlearn_cli.main as m; sys.argv[1:] = {words.split()}; "
        "assert m._exit_code() == 0; "
        "found = {'tensorflow', 'tensorflow_federated', 'keras'} & set(sys.modules); "
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=made)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in made.glob("run*/*")) == before


def test_a_recorded_profile_gives_the_measured_report(made, tmp_path):
    """The commands record it; Python's `train` and `unlearn` leave it to the report."""
    names = ("run", "run-finetune")
    for name in (*names, "run-retrain"):
        shutil.copytree(made / name, tmp_path / name)
    report([tmp_path / name for name in names], out=tmp_path / "measured")
    source = open_source(tmp_path / "run")
    record_profile(TrainingRun(source.directory, source.model, [], source.federation))
    directory = RunDirectory(tmp_path / "run-finetune")
    record_profile(UnlearningRun(directory, unlearning_record(directory), [], new=True))
    code = (
        "import sys, tfunlearn_cli.main as m; "
        f"sys.argv[1:] = {['report', *names, '--out', 'recorded']}; "
        "assert m._exit_code() == 0 and 'tensorflow' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    pages = [(tmp_path / name / "report.html").read_text() for name in ("measured", "recorded")]
    assert pages[0] == pages[1]

    path = tmp_path / "run" / "profile.json"
    path.write_text(path.read_text().replace('"examples": ', '"examples": 1'))  # damaged
    report([tmp_path / name for name in names], out=tmp_path / "again")
    assert (tmp_path / "again" / "report.html").read_text() == pages[0]


def test_a_model_file_of_another_state_is_still_refused(made, tmp_path):
    shutil.copytree(made / "run-not", tmp_path / "run-not")
    shutil.copy(made / "run" / "model.keras", tmp_path / "run-not" / "model.keras")
    with pytest.raises(UserError, match="model.keras is not the model of .*checkpoint.npz"):
        report([tmp_path / "run-not"])


def test_without_the_run_before(made, tmp_path):
    shutil.copytree(made / "run-finetune", tmp_path / "alone")
    notes = json.loads((tmp_path / "alone" / "unlearning.json").read_text())
    from tfunlearn.core.files import digest_of

    notes["source"] = str(tmp_path / "gone")
    (tmp_path / "alone" / "unlearning.json").write_text(
        json.dumps({**notes, "sha256": digest_of(notes)})
    )
    text = pathlib.Path(report([tmp_path / "alone"]), "report.html").read_text()
    assert "is missing or was changed; its training is not shown" in text
    assert "Metrics by client and class are unknown" in text
