"""Every command on every kind of data: one table, the smallest real example of each.

`tests/experiment/test_engine_of_runs.py` and the rounds' own tests hold the engines to equal bits; here each runs
on the engine of this environment.
"""

from __future__ import annotations

import csv
import json
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "datasets"))
from foreign_files import client_database, iris  # noqa: E402

LENGTH = ["--rounds", "3", "--lr", "3e-3", "--history", "all"]
COMMANDS = {
    "evaluate": ["evaluate", "run"],
    "channels": ["channels", "run", "--client", "0"],
    "ratio": ["ratio", "run", "--client", "0"],
    "unlearn": ["unlearn", "run", "--client", "0", "--method", "fedup", "--recovery-rounds", "1"],
    "unlearn to verify": [
        *("unlearn", "run", "--client", "0", "--method", "finetune", "--recovery-rounds", "1"),
    ],
    "unlearn a class": ["unlearn", "run", "--class", "1", "--recovery-rounds", "1"],
    "verify": [
        *("verify", "run-finetune", "--retrains", "1", "--shadow-models", "1"),
        *("--shadow-epochs", "1", "--relearn-epochs", "1"),
    ],
    "report": ["report", "run-finetune"],
    "resume": ["resume", "run"],
}


def patients(folder: pathlib.Path) -> pathlib.Path:
    """Write breast cancer rows with hospital, sex and patient number."""
    from sklearn.datasets import load_breast_cancer

    table, rng = load_breast_cancer(), np.random.default_rng(0)
    path = folder / "patients.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        names = [name.replace(" ", "_") for name in table.feature_names[:6]]
        out.writerow(["patient", "hospital", "sex", *names, "outcome"])
        for number, (row, label) in enumerate(zip(table.data[:240], table.target)):
            hospital = ("North", "St. Mary", "Übersee")[rng.integers(3)]
            out.writerow(
                [f"P-{number:03d}", hospital, "fm"[rng.integers(2)], *row[:6]]
                + [table.target_names[label]]
            )
    return path


def photos(folder: pathlib.Path) -> pathlib.Path:
    """Write handwritten digits as PNG files, a folder for each class."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits, root = load_digits(), folder / "photos"
    for number, (image, label) in enumerate(zip(digits.images[:240], digits.target)):
        if label < 3:
            place = root / "train" / ("zero", "one", "two")[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.uint8(image * 15)).resize((16, 16)).save(place / f"{number:04d}.png")
    return root


def letters(folder: pathlib.Path) -> pathlib.Path:
    """Write the names of Python's modules and of unicode letters, by first half of the alphabet."""
    import unicodedata

    path = folder / "letters.jsonl"
    names = [unicodedata.name(chr(code)) for code in [*range(0x391, 0x3A2), *range(0x410, 0x450)]]
    with open(path, "w", encoding="utf-8") as file:
        for number, name in enumerate(names):
            line = dict(id=f"n{number}", text=name, label=name.split()[0], author=f"a{number % 3}")
            file.write(json.dumps(line) + "\n")
    return path


def small_digits(kind: str):
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.uint8(digits.images[:200] * 15)
    if kind == "flat":
        return digits.data[:200].astype(np.float32) / 16, digits.target[:200]
    return images, digits.target[:200] + 1  # labels from 1


def npz(folder: pathlib.Path) -> pathlib.Path:
    x, y = small_digits("images")
    path = folder / "digits.npz"
    np.savez_compressed(path, x_train=x, y_train=y, client_train=np.arange(200) % 4)
    return path


def mapping(folder: pathlib.Path) -> pathlib.Path:
    x, y = small_digits("images")
    path, more = folder / "two.npz", y[:, None] * np.float32([1, -1])
    np.savez(path, **{"x_train.image": x, "x_train.more": more, "y_train": y})
    (folder / "two.py").write_text(
        "import tensorflow as tf\n\n"
        "def net(shape, classes, *, seed):\n"
        "    tf.keras.utils.set_random_seed(seed)\n"
        "    layers = tf.keras.layers\n"
        "    image = tf.keras.Input(shape['image'], name='image')\n"
        "    more = tf.keras.Input(shape['more'], name='more')\n"
        "    x = layers.Flatten()(layers.Conv2D(4, 3, activation='relu')(image))\n"
        "    x = layers.Dense(16, activation='relu')(layers.Concatenate()([x, more]))\n"
        "    return tf.keras.Model([more, image], layers.Dense(classes)(x))\n"
    )
    return path


def leaf(folder: pathlib.Path) -> pathlib.Path:
    x, y = small_digits("flat")
    for split, rows in (("train", range(40)), ("test", range(40, 50))):
        users = {f"u{k}": [50 * k + row for row in rows] for k in range(4)}
        content = dict(
            users=list(users),
            num_samples=[len(rows) for _ in users],
            user_data={
                user: dict(x=[x[row].tolist() for row in own], y=[int(y[row]) for row in own])
                for user, own in users.items()
            },
        )
        (folder / "leaf" / split).mkdir(parents=True)
        (folder / "leaf" / split / "part.json").write_text(json.dumps(content))
    return folder / "leaf"


def parquet(folder: pathlib.Path) -> pathlib.Path:
    import pyarrow as pa
    from pyarrow import parquet as pq

    x, y = small_digits("flat")
    columns = {f"p{n}": x[:, n] for n in range(20, 40)}
    pq.write_table(pa.table({**columns, "digit": y}), folder / "digits.parquet")
    return folder / "digits.parquet"


def function(folder: pathlib.Path) -> str:
    (folder / "mine.py").write_text(
        "import numpy as np\nfrom sklearn.datasets import load_wine\n"
        "from tfunlearn.datasets import from_arrays\n\n"
        "def wines(data_dir):\n"
        "    table = load_wine()\n"
        "    x = (table.data - table.data.mean(0)) / table.data.std(0)\n"
        "    return from_arrays(x, table.target_names[table.target], name='wines')\n"
    )
    return f"{folder / 'mine.py'}:wines"


KINDS = {  # what makes the data, options of train
    "embedded": (lambda folder: "wine", ["--attack", "backdoor-table"]),
    "table": (
        patients,
        *(["--label-column", "outcome", "--id-column", "patient", "--client-column", "hospital"]),
    ),
    "parquet": (parquet, "--label-column", "digit", "--attack", "label-flip"),
    "text": (
        letters,
        *("--text-column", "text", "--id-column", "id", "--sequence-length", "6"),
        *("--vocabulary-size", "60", "--client-column", "author", "--attack", "backdoor-text"),
    ),
    "images": (photos, "--attack", "backdoor", "--defense", "flap"),
    "npz": (npz, "--model", "mlp", "--attack", "label-flip"),
    "several inputs": (mapping, "--model", "two.py:net", "--attack", "label-flip"),
    "leaf": (leaf, "--shape", "8x8x1", "--model", "mlp", "--attack", "backdoor"),
    "database": (client_database, "--shape", "8x8x1", "--model", "mlp", "--attack", "label-flip"),
    "tfds": (iris, "--model", "mlp", "--attack", "label-flip"),
    "function": (function, "--model", "mlp", "--attack", "label-flip"),
}
IMAGES = ("images", "npz", "leaf", "database")
PARTITION = {"table": "column:hospital", "npz": "writers", "leaf": "writers", "database": "writers"}


@pytest.fixture(scope="module", params=KINDS)
def trained_kind(request, tmp_path_factory):
    """Kind of data, folder, and the words of `train`."""
    from tfunlearn_cli import main

    folder = tmp_path_factory.mktemp("kinds")
    make, *words = KINDS[request.param]
    words = [word for one in words for word in (one if isinstance(one, list) else [one])]
    command = ["train", "--dataset", str(make(folder)), *LENGTH, *words, "--out", "run"]
    command += ["--partition", PARTITION.get(request.param, "iid")]
    if request.param not in PARTITION:
        command += ["--clients", "4"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["tfunlearn", *command])
        assert main._exit_code() == 0
    return request.param, folder


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_command_takes_it(trained_kind, typed, monkeypatch):
    kind, folder = trained_kind
    monkeypatch.chdir(folder)
    for name, words in COMMANDS.items():
        code, out, err = typed(*words)
        # a recovery of one round may leave a small net at chance level, which is told (code 1)
        ruined = code == 1 and "has ruined the model" in out + err
        assert code == 0 or (name.startswith("unlearn") and ruined), (kind, name, err or out[-300:])
        assert "Traceback" not in err
        if name == "verify":
            lines = [line for line in out.splitlines() if line.startswith("verify    ")]
            told = lines[0] == "verify    without model inversion, which needs gray or color images"
            assert told is not (kind in IMAGES), lines
    made = folder / "run-finetune-report" / "report.html"
    assert made.exists()
    told = made.read_text(encoding="utf-8")
    if kind == "table":
        assert "St. Mary" in told and "malignant" in told
        names = json.loads((folder / "run" / "data.json").read_text())["clients"]
        assert names == ["North", "St. Mary", "Übersee"]
    record = json.loads(
        (folder / "run-finetune" / "verification" / "verification.json").read_text()
    )
    untested = " ".join(record["not_tested"])
    assert ("which needs gray or color images" in untested) is not (kind in IMAGES)


def test_requests_by_the_datas_own_identifiers(trained_kind, typed, monkeypatch):
    kind, folder = trained_kind
    monkeypatch.chdir(folder)
    known = {"table": "P-00", "text": "n1", "images": "zero/"}
    data = json.loads((folder / "run" / "data.json").read_text()) if kind in known else {}
    forget = ["--recovery-rounds", "1", "--no-reference", "--out", "by-id", "--method", "finetune"]
    if kind not in known:
        (folder / "ids.txt").write_text("P-1\n")
        code, _, err = typed("unlearn", "run", "--examples", "ids.txt", *forget)
        if kind == "embedded":  # its rows are numbered
            assert code == 2 and "none of 1 identifiers" in err
        else:
            assert code == 2 and "has none" in err and err.count("\n") == 1
        return
    assert data
    wanted = {
        "table": lambda: [f"P-{number:03d}" for number in range(6)],
        "text": lambda: [f"n{number}" for number in range(6)],
        "images": lambda: [
            f"zero/{path.name}" for path in sorted((folder / "photos/train/zero").iterdir())
        ],
    }[kind]()
    (folder / "ids.txt").write_text("\n".join([*wanted, "nobody"]) + "\n")
    code, out, err = typed("unlearn", "run", "--examples", "ids.txt", *forget)
    assert code in (0, 1), err
    record = json.loads((folder / "by-id" / "unlearning.json").read_text())
    assert record["unknown"] == ["nobody"] and set(record["held_out"]) < set(wanted)
    assert record["forgotten"]["examples"] == len(wanted) - len(record["held_out"]) > 0
    assert "1 identifier of the request is of no example: 'nobody'" in out
    assert ("not trained on" in out) == bool(record["held_out"])
    # a folder of the files that are to be forgotten names the same
    if kind == "images":
        code, out, err = typed(
            *("unlearn", "by-id", "--examples", "photos/train", "--out", "all"),
            *("--method", "finetune", "--no-reference"),
        )
        assert code == 2 and "proper subset" in err
    # what was forgotten is not forgotten again without a word
    code, _, err = typed("unlearn", "by-id", "--examples", "ids.txt", *forget[:3], "--out", "twice")
    assert code == 2 and "forgotten before" in err and not (folder / "twice").exists()


def test_a_sweep_of_a_table(typed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    patients(tmp_path)
    (tmp_path / "grid.toml").write_text(
        'seeds = [0]\n[fixed]\ndataset = "patients.csv"\nlabel_column = "outcome"\n'
        'id_column = "patient"\nrounds = 1\nclients = 4\n'
        '[grid]\nrule = ["mean", "median"]\nattack = ["none", "label-flip"]\n'
    )
    code, out, err = typed("sweep", "grid.toml", "--out", "grid")
    assert code == 0 and "4 cells" in out and "failed" not in out, err


def test_files_that_changed_are_refused(typed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = patients(tmp_path)
    words = ["--label-column", "outcome", "--id-column", "patient", "--clients", "3"]
    assert typed("train", "--dataset", path.name, *words, *LENGTH, "--out", "run")[0] == 0
    kept = path.read_bytes()
    path.write_bytes(kept.replace(b"malignant", b"benign", 1))
    for command in (["evaluate", "run"], ["unlearn", "run", "--client", "0"]):
        code, _, err = typed(*command)
        assert code == 2 and "patients.csv has changed since the run began" in err
    path.unlink()
    assert typed("report", "run", "--out", "without")[0] == 0  # what was measured needs no data
    code, _, err = typed("evaluate", "run")
    assert code == 2 and "patients.csv" in err and err.count("\n") == 1
    path.write_bytes(kept)
    assert typed("evaluate", "run")[0] == 0
    damaged = tmp_path / "run" / "data.json"
    damaged.write_text(damaged.read_text().replace("benign", "benigm"))
    code, _, err = typed("evaluate", "run")
    assert code == 2 and "data.json is damaged" in err


def rows_of(path: pathlib.Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def changed(row: int, column: int, value: str):
    def change(rows: list[list[str]]) -> list[list[str]]:
        rows[row][column] = value
        return rows

    return change


def with_labels(value):
    return lambda rows: [rows[0], *[[*row[:-1], value(n)] for n, row in enumerate(rows[1:])]]


BAD_TABLES = {
    "no value": (changed(17, 4, ""), r"row 17: column 'mean_texture' must have a value"),
    "NaN": (changed(17, 4, "nan"), r"row 17: column 'mean_texture' must have a value; got 'nan'"),
    "infinite": (changed(17, 4, "inf"), r"row 17: column 'mean_texture' must have a finite number"),
    "text among numbers": (
        changed(17, 4, "much"),
        r"row 17: column 'mean_texture' must (have|be) a number",
    ),
    "no category": (changed(17, 2, ""), r"row 17: column 'sex' must have a value; got none"),
    "no label": (changed(9, -1, ""), r"row 9: no label"),
    "one class": (with_labels(lambda n: "one"), r"at least two classes; got only 'one'"),
    "a measurement": (with_labels(lambda n: f"{n / 7:.3f}"), r"a measurement; make classes of it"),
    "labels that count": (with_labels(str), r"must be classes; got 240 different ones"),
    "no rows": (lambda rows: rows[:1], r"at least one row; got none"),
    "a longer row": (changed(12, 3, "1,2"), None),
    "the same identifier": (changed(5, 0, "P-001"), r"got 'P-001' in rows 2 and 5"),
    "no identifier": (changed(5, 0, ""), r"row 5: no patient; give one"),
    "no client": (changed(5, 1, ""), r"row 5: no hospital; give one"),
    "the same column": (changed(0, 3, "sex"), r"columns of different names; got 'sex' twice"),
    "a missing column": (changed(0, -1, "result"), r"no column 'outcome'.*columns: patient, "),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_one_line_with_the_row_and_nothing_is_written(
    name, typed, monkeypatch, tmp_path
):
    change, message = BAD_TABLES[name]
    monkeypatch.chdir(tmp_path)
    path = patients(tmp_path)
    rows = change(rows_of(path))
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_NONE, escapechar="\\").writerows(rows) if (
            message is None
        ) else csv.writer(file).writerows(rows)
    if message is None:
        path.write_text(path.read_text(encoding="utf-8").replace("\\", ""), encoding="utf-8")
        message = r"row 12 \(line 13\): must have 10 values, as the header has; got 11"
    code, _, err = typed(
        *("train", "--dataset", path.name, "--label-column", "outcome", "--id-column", "patient"),
        *("--client-column", "hospital", "--rounds", "1"),
    )
    import re

    assert code == 2 and err.count("\n") == 1 and re.search(message, err), err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["patients.csv"]


def latin(folder):
    path = patients(folder)
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    return [path.name, "--label-column", "outcome"]


def unseen(column, value):
    def make(folder):
        path = patients(folder)
        rows = rows_of(path)[:20]
        rows[3][column] = value
        with open(folder / "test.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
        words = [path.name, "--label-column", "outcome", "--id-column", "patient"]
        return [*words, "--test-file", "test.csv"]

    return make


def mixed_sizes(folder):
    from PIL import Image

    root = photos(folder)
    file = sorted((root / "train" / "two").iterdir())[1]
    Image.open(file).resize((9, 12)).save(file)
    return ["photos"]


def empty_class(folder):
    (photos(folder) / "train" / "three").mkdir()
    return ["photos"]


def no_image(folder):
    root = photos(folder)
    (root / "train" / "two" / "a.png").write_text("nothing")
    return ["photos"]


def narrow_model(folder):
    import tensorflow as tf

    net = tf.keras.Sequential([tf.keras.layers.Input((4,)), tf.keras.layers.Dense(2)])
    net.save(folder / "net.keras")
    path = patients(folder)
    words = [path.name, "--label-column", "outcome", "--id-column", "patient"]
    return [*words, "--model", "net.keras"]


def nan_array(folder):
    x, y = small_digits("flat")
    x[7, 3] = np.nan
    np.savez(folder / "a.npz", x_train=x, y_train=y)
    return ["a.npz"]


def one_hot(folder):
    x, y = small_digits("flat")
    np.savez(folder / "a.npz", x_train=x, y_train=np.eye(10)[y])
    return ["a.npz"]


def semicolons(folder):
    (folder / "a.csv").write_text("x;label\n1;a\n2;b\n")
    return ["a.csv"]


def bad_json(folder):
    (folder / "a.jsonl").write_text('{"text": "a", "label": 1}\n{"text": \n')
    return ["a.jsonl", "--text-column", "text"]


OTHERS = {
    "not UTF-8": (latin, r"patients.csv, line \d+: must be UTF-8; got byte 0xdc"),
    "unseen category": (unseen(2, "x"), r"test.csv, row 3: column 'sex' has the category 'x'"),
    "unseen class": (unseen(-1, "other"), r"test.csv, row 3: the class 'other' has no training"),
    "mixed sizes": (mixed_sizes, r"one size; got 16x16 in .* and 12x9 in two/.*--resize 16x16"),
    "empty class": (empty_class, r"train/three must hold images"),
    "no image": (no_image, r"two/a.png is no readable image"),
    "more columns": (narrow_model, r"takes examples of \(4,\), the data has \(11,\)"),
    "NaN in an array": (nan_array, r"features of a.npz must be finite; got nan in row \d+"),
    "one-hot labels": (one_hot, r"y_train must be of shape \(n,\).*argmax"),
    "semicolons": (semicolons, r"one column, 'x;label'; separate with --delimiter ';'"),
    "broken line": (bad_json, r"a.jsonl, line 2: no JSON"),
    "no such file": (
        lambda folder: ["none.csv"],
        r"a file or folder that exists; got '.*none.csv'",
    ),
    "no images": (
        lambda folder: (
            [patients(folder).name, "--label-column", "outcome", "--attack", "backdoor"]
            + ["--id-column", "patient"]
        ),
        r"stamps pixels and needs images; give backdoor-table",
    ),
    "lenet5 of a table": (
        lambda folder: ["wine", "--model", "lenet5"],
        r"lenet5 takes images .*the data have 13; give --model mlp",
    ),
    "another's option": (
        lambda folder: ["wine", "--label-column", "x"],
        r"--label-column: not allowed with --dataset wine; it is for FILE.csv",
    ),
    "an identifier column": (
        lambda folder: [patients(folder).name, "--label-column", "outcome"],
        r"column 'patient' has \d+ different texts.*--id-column",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_bad_data_is_one_line(name, typed, monkeypatch, tmp_path):
    import re

    make, message = OTHERS[name]
    monkeypatch.chdir(tmp_path)
    words = make(tmp_path)
    before = sorted(map(str, tmp_path.rglob("*")))
    code, _, err = typed("train", "--rounds", "1", "--dataset", *words)
    assert code == 2 and err.count("\n") == 1 and re.search(message, err), err
    after = sorted(str(path) for path in tmp_path.rglob("*") if "image-folders" not in str(path))
    assert [path for path in after if path != str(tmp_path / "data")] == before


def test_flap_of_a_net_without_filters_and_pairs_is_refused(typed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = letters(tmp_path)
    (tmp_path / "net.py").write_text(
        "import tensorflow as tf\n\n"
        "def net(shape, classes, *, seed, vocabulary):\n"
        "    layers = tf.keras.layers\n"
        "    return tf.keras.Sequential([layers.Input(shape, dtype='int32'),\n"
        "        layers.Embedding(vocabulary, 4), layers.LSTM(4), layers.Dense(classes)])\n"
    )
    words = ["train", "--dataset", path.name, "--text-column", "text", "--rounds", "1"]
    code, _, err = typed(*words, "--model", "net.py:net", "--defense", "flap", "--clients", "3")
    assert code == 2 and "model: must be a model with a convolution" in err
    assert not (tmp_path / "runs").exists()
    code, _, err = typed(*words, "--ignored-columns", "id")
    assert code == 2 and "ignored_columns: not allowed with --text-column" in err
    code, _, err = typed("train", "--dataset", path.name, "--vocabulary-size", "9")
    assert code == 2 and "vocabulary_size: not allowed without --text-column" in err


def test_clients_that_are_not_the_natural_ones_are_told(typed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    npz(tmp_path)  # its natural clients are numbers
    words = ("train", "--dataset", "digits.npz", "--model", "mlp", "--rounds", "1")
    code, out, err = typed(*words, "--partition", "writers", "--out", "own")
    assert code == 0 and "warning" not in out, err
    code, out, err = typed(*words, "--clients", "4", "--out", "shares")
    assert code == 0 and "shares of all examples (iid), not the 4 clients that the data" in out


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--rule", "krum", "--byzantine", "0"), 0, "rule krum (f=0)"),
        (("--rule", "median"), 0, "rule median (f=0)"),
        (("--rule", "krum", "--byzantine", "1"), 2, "krum needs n >= 2f + 3, here n >= 5; got n=3"),
        (("--attack", "alie"), 2, "alie with knowledge partial needs at least 2 malicious clients"),
    ],
)
def test_rules_and_attacks_that_count_natural_clients(
    more, code, message, typed, monkeypatch, tmp_path
):
    """Their number is known only once the data are read."""
    monkeypatch.chdir(tmp_path)
    path = patients(tmp_path)
    found, out, err = typed(
        *("train", "--dataset", path.name, "--label-column", "outcome", "--rounds", "1"),
        *("--id-column", "patient", "--client-column", "hospital"),
        *("--partition", "column:hospital", *more),
    )
    assert found == code and message in out + err, err
