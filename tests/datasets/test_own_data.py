"""Data of one's own, with numbers worked out by hand."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tfunlearn.core.errors import UserError
from tfunlearn.core.features import Rows
from tfunlearn.datasets import DATASETS, LabeledData, from_arrays, load
from tfunlearn.datasets.class_names import (
    as_texts,
    classes_of_labels,
    encode,
    named_classes,
    names_of_clients,
)
from tfunlearn.datasets.columns import apply_columns, feature_names, fit_columns
from tfunlearn.datasets.held_out import held_out
from tfunlearn.datasets.table import TableSettings, load_table
from tfunlearn.datasets.tokens import TextSettings, apply_text, fit_text, vocabulary_of


def place(row: int) -> str:
    return f"row {row}"


def column(*values):
    found = np.empty(len(values), object)
    found[:] = values
    return found


def test_numbers_are_standardized_and_categories_one_hot():
    columns = {
        "age": column("1", "2", "3", "6"),  # mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5
        "sex": column("m", "f", "m", "m"),
        "zip": column("01", "02", "01", "02"),  # leading zeros: identifiers, not numbers
        "same": column("5", "5", "5", "5"),
        "count": np.array([0.0, 0.0, 2.0, 2.0]),  # mean 1, deviation 1
    }
    fitted = json.loads(json.dumps(fit_columns(columns, place)))
    assert [one["kind"] for one in fitted] == ["number", "category", "category", "number", "number"]
    assert fitted[0]["mean"] == 3 and fitted[0]["deviation"] == pytest.approx(3.5**0.5)
    assert fitted[3] == {"column": "same", "kind": "number", "mean": 5.0, "deviation": 1.0}
    names = ("age", "sex=f", "sex=m", "zip=01", "zip=02", "same", "count")
    assert feature_names(fitted) == names
    made = apply_columns(fitted, columns, place)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made[0], [-2 / 3.5**0.5, 0, 1, 1, 0, 0, -1], rtol=1e-6)
    np.testing.assert_allclose(made[3], [3 / 3.5**0.5, 0, 1, 0, 1, 0, 1], rtol=1e-6)
    nearly = fit_columns({"tenth": np.full(80, 0.1)}, place)  # its deviation is 1e-17, by rounding
    assert apply_columns(nearly, {"tenth": np.array([0.1, 0.2])}, place)[:, 0].tolist() == (
        pytest.approx([0.0, 0.1])
    )
    with pytest.raises(UserError, match="numbers that can be squared; got up to 1e.300"):
        fit_columns({"big": np.array([1e300, -1e300])}, place)
    numbers = np.random.default_rng(0).permutation(60) + 1000  # a few gaps, in any order
    with pytest.raises(UserError, match="column 'patient' has a different whole number in each of"):
        fit_columns({"patient": column(*map(str, numbers[:40]))}, place)
    for kept in (numbers[:29], numbers * 0.5, np.arange(40) * 3, np.arange(40.0), numbers // 2):
        assert fit_columns({"size": np.array(kept)}, place)[0]["kind"] == "number"
    price = {"price": column("1,5", "2", ",25", "3,0")}
    with pytest.raises(
        UserError, match="decimal point; got '1,5'; write 1.5 for a decimal comma, 15"
    ):
        fit_columns(price, place)
    assert len(fit_columns(price, place, categorical=["price"])[0]["values"]) == 4
    assert fit_columns({"both": column("1,5", "2", "few", "3,0")}, place)[0]["kind"] == "category"
    forced = fit_columns({"count": columns["count"]}, place, categorical=["count"])
    assert feature_names(forced) == ("count=0.0", "count=2.0")


def test_labels_are_whole_numbers_or_text():
    assert as_texts([1.0, True, b"cat", " 7 ", np.int64(3)], place) == ["1", "1", "cat", "7", "3"]
    odd = ["1E2", "100", "4_5", "²", "--5"]  # texts, as they are
    assert as_texts(odd, place) == odd
    assert classes_of_labels(odd, "it") == [
        "100",
        *sorted(label for label in odd if label != "100"),
    ]
    names = names_of_clients(["1E2", "100", 7.0, b"x", " y "], place, "client")
    assert names.tolist() == ["1E2", "100", "7", "x", "y"]
    assert named_classes(["-1", "0", "1", "2"], ["no", "yes"]) == ("-1", "no", "yes", "2")
    assert classes_of_labels(["10", "9", "-1", "9"], "it") == ["-1", "9", "10"]
    assert classes_of_labels(["b", "10", "a"], "it") == ["10", "a", "b"]
    assert encode(["9", "-1"], ["-1", "9", "10"], place).tolist() == [1, 0]


def test_a_share_of_every_class_is_held_out_and_always_the_same():
    labels = np.repeat([0, 1, 2, 3], [10, 5, 2, 1])
    mask = held_out(labels, 0.2)
    assert [int(mask[labels == k].sum()) for k in range(4)] == [2, 1, 1, 0]
    np.testing.assert_array_equal(mask, held_out(labels, 0.2))
    assert [int(held_out(labels, 0.9)[labels == k].sum()) for k in range(4)] == [9, 4, 1, 0]


def test_texts_become_ids_by_how_often_words_occur():
    fitted = json.loads(json.dumps(fit_text(["b a b", "B, a c!"], TextSettings(sequence_length=4))))
    assert fitted["vocabulary"] == ["b", "a", "c"] and vocabulary_of(fitted) == 5
    made = apply_text(fitted, ["a b", "new c b a a", "É b"], place)  # 0 pads, 1 is unknown
    assert made.dtype == np.int32
    assert made.tolist() == [[3, 2, 0, 0], [1, 4, 2, 3], [1, 2, 0, 0]]
    letters = fit_text(["ab"], TextSettings(sequence_length=3, text_split="character"))
    assert sorted(letters["vocabulary"]) == ["a", "b"]
    few = fit_text(["b a b", "b a c"], TextSettings(vocabulary_size=4))
    assert few["vocabulary"] == ["b", "a"]
    with pytest.raises(UserError, match="row 1: no text"):
        apply_text(fitted, ["a", " "], place)


def test_arrays_keep_what_they_are():
    x = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
    data = from_arrays(x, ["b", "a"] * 3, x[:2], ["a", "b"], clients=[1, 1, 2, 2, 3, 3])
    assert data.features.shape == (6, 2, 2, 1) and data.features.dtype == np.uint8
    assert data.class_names == ("a", "b") and data.labels.tolist() == [1, 0] * 3
    assert data.test_labels.tolist() == [0, 1] and data.is_image and data.kind == "images"
    tokens = from_arrays(np.uint8([[1, 2], [3, 255], [0, 0], [9, 9]]), [5, 7, 5, 7], test_share=0.5)
    assert tokens.features.dtype == np.int32 and tokens.class_names == ("5", "7")
    assert sorted([*tokens.features.ravel(), *tokens.test_features.ravel()])[-1] == 255
    table = from_arrays([[1.5], [2], [3], [4]], [0, 1, 0, 1], test_share=0.5)
    assert table.features.dtype == np.float32 and table.kind == "table"
    with pytest.raises(UserError, match="both x_test and y_test, or neither"):
        from_arrays(x, [0, 1] * 3, x)
    with pytest.raises(UserError, match="one row for each of 5 labels; got shape .6, 2, 2."):
        from_arrays(x, [0, 1, 0, 1, 0])
    for given in (dict(clients=range(7)), dict(clients=range(5)), dict(ids=range(7))):
        with pytest.raises(UserError, match="one entry for each of 6 training examples"):
            from_arrays(x, [0, 1] * 3, **given)
    with pytest.raises(UserError, match="vocabulary: must be above every token id of arrays"):
        from_arrays([[1, 9], [2, 3], [4, 5], [1, 1]], [0, 1, 0, 1], vocabulary=9)
    with pytest.raises(UserError, match="identifiers of arrays must be unique; got '1' twice"):
        from_arrays(x, [0, 1] * 3, ids=[1, 1, 2, 3, 4, 5])
    with pytest.raises(UserError, match=r"y_train\[2\]: no label"):
        from_arrays(x, ["a", "b", None, "a", "b", "a"])
    with pytest.raises(UserError, match="whole numbers of big must be from"):
        from_arrays(np.array([[2**40], [0], [1], [2]]), [0, 1, 0, 1], name="big")


@pytest.mark.parametrize("how", ["stored", "compressed", "folder"])
def test_large_arrays_stay_on_disk(how, tmp_path, monkeypatch):
    import tfunlearn.datasets.arrays as module

    monkeypatch.setattr(module, "MAPPED_BYTES", 100)
    x = np.arange(400, dtype=np.float32).reshape(100, 4)
    arrays = dict(x_train=x, y_train=np.arange(100) % 3, x_test=x[:9], y_test=np.arange(9) % 3)
    path = tmp_path / "a.npz"
    if how == "folder":
        path = tmp_path / "arrays"
        path.mkdir()
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    else:
        (np.savez if how == "stored" else np.savez_compressed)(path, **arrays)
    data = load(str(path), str(tmp_path / "data"))
    assert isinstance(data.features, np.memmap) and not data.features.flags.writeable
    np.testing.assert_array_equal(data.features, x)
    unpacked = list((tmp_path / "data").rglob("*.npy"))
    assert bool(unpacked) == (how == "compressed")
    part = data.subset(10, np.random.default_rng(0))
    assert isinstance(part.features, Rows)
    np.testing.assert_array_equal(part.features[:], x[part.rows])
    assert data.class_names == ("0", "1", "2") and load(str(path), str(tmp_path / "data"))


def test_objects_in_npz_are_never_unpickled(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=np.array([{}, {}], object), y_train=np.array([0, 1]))
    with pytest.raises(UserError, match="cannot be read as arrays"):
        load(str(path), str(tmp_path))


def test_image_folders_are_decoded_once(tmp_path, monkeypatch):
    from PIL import Image

    import tfunlearn.datasets.image_folder as module

    colors = {"10": 200, "2": 100}
    for name, level in colors.items():
        folder = tmp_path / "photos" / "train" / name
        folder.mkdir(parents=True)
        for number in (10, 9, 1):
            image = Image.new("RGBA", (3, 2), (level, level, level, 0))
            image.putpixel((2, 1), (number, 0, 0, 255))
            image.save(folder / f"{number}.png")
    (tmp_path / "photos" / "train" / ".hidden").mkdir()
    data = load(str(tmp_path / "photos"), str(tmp_path / "data"))
    assert data.class_names == ("10", "2") and data.input_shape == (2, 3, 3)
    everything = {name: row for name, row in zip(data.ids, data.features)}
    assert set(everything) <= {f"{c}/{n}.png" for c in colors for n in (1, 9, 10)}
    for name, image in everything.items():
        level, number = colors[name.split("/")[0]], int(name.split("/")[1][:-4])
        assert image[0, 0].tolist() == [level] * 3  # alpha is removed, not blended
        assert image[1, 2].tolist() == [number, 0, 0]
    decoded = []
    monkeypatch.setattr(module, "_decode", lambda *given: decoded.append(given))
    again = load(str(tmp_path / "photos"), str(tmp_path / "data"))
    np.testing.assert_array_equal(again.features[:], data.features[:])
    assert not decoded
    Image.new("L", (5, 2)).save(tmp_path / "photos" / "train" / "2" / "large.png")
    monkeypatch.undo()
    with pytest.raises(UserError, match="must have one size; got 2x3 in .* and 2x5 in 2/large.png"):
        load(str(tmp_path / "photos"), str(tmp_path / "empty"))
    assert not list(tmp_path.glob("empty/*"))  # no cache of images that are refused


def test_gray_is_kept_and_clients_are_read_from_paths(tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        folder = tmp_path / "photos" / "train" / name
        folder.mkdir(parents=True)
        for writer in ("ada", "bob"):
            for number in range(3):
                Image.new("L", (4, 4), 7).save(folder / f"{writer}-{number}.png")
    kind = DATASETS.find(str(tmp_path / "photos"))
    own = kind.settings(client_pattern=r"/(\w+)-", resize="2x6")
    data = kind.load(str(tmp_path / "data"), own)
    assert data.input_shape == (2, 6, 1) and set(data.writers) == {"ada", "bob"}
    with pytest.raises(UserError, match="one group in parentheses"):
        kind.settings(client_pattern="ada")
    with pytest.raises(UserError, match="must match the path of every image; got"):
        kind.load(str(tmp_path / "data"), kind.settings(client_pattern="(zoe)"))
    with pytest.raises(UserError, match="HEIGHTxWIDTH"):
        kind.settings(resize="32")


def test_leaf_goes_by_the_list_of_users(tmp_path):
    good = dict(x=[[0.5, 1.0], [0.0, 0.25]], y=[3, 8])
    dropped = dict(x=[], y=[])  # as LEAF's older splitter leaves users behind
    for split in ("train", "test"):
        (tmp_path / "leaf" / split).mkdir(parents=True)
        content = dict(users=["u1"], num_samples=[2], user_data={"u1": good, "u0": dropped})
        (tmp_path / "leaf" / split / "a.json").write_text(json.dumps(content))
    data = load(str(tmp_path / "leaf"))
    assert data.features.tolist() == [[0.5, 1.0], [0.0, 0.25]] and data.class_names == ("3", "8")
    assert data.writers.tolist() == ["u1", "u1"]
    shaped = DATASETS.find(str(tmp_path / "leaf"))
    assert shaped.load("", shaped.settings(shape="1x2x1")).input_shape == (1, 2, 1)
    with pytest.raises(UserError, match=r"shape: a.json, user u1, example 1 must have 4 numbers"):
        shaped.load("", shaped.settings(shape="2x2"))
    for change, message in (
        (dict(num_samples=[2, 2]), "1 users, 2 num_samples"),
        (dict(user_data={"u1": dict(x=[[1.0]])}), "user 'u1'"),
        (dict(user_data=[1]), "must be LEAF's JSON"),
        (dict(user_data={"u1": dict(x=["a", [1.0]], y=[0, 1])}), "x must be numbers or text"),
        (dict(num_samples=[3]), "user 'u1' .1.: must have as many x and y as num_samples says .3."),
        (dict(user_data={}), "user 'u1'"),
        (dict(user_data={"u1": dict(x=[[1.0]] * 2, y=[{"a": 1}] * 2)}), "reddit is not supported"),
        (dict(user_data={"u1": dict(x=["a.jpg", "b.jpg"], y=[0, 1])}), "put the images in folders"),
    ):
        (tmp_path / "leaf" / "train" / "a.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(UserError, match=message):
            load(str(tmp_path / "leaf"))


def test_sentences_of_leaf_are_texts(tmp_path):
    rows = [["7", "Mon", "q", "ada", "good day"], ["8", "Tue", "q", "ada", "bad day"]]
    for split in ("train", "test"):
        (tmp_path / "sent" / split).mkdir(parents=True)
        content = dict(users=["ada"], num_samples=[2], user_data={"ada": dict(x=rows, y=[1, 0])})
        (tmp_path / "sent" / split / "a.json").write_text(json.dumps(content))
    data = load(str(tmp_path / "sent"))
    assert (
        data.vocabulary == 5
        and data.features[0][:3].tolist()[1] == data.features[1][:3].tolist()[1]
    )


def test_prepared_json_makes_the_same_features(tmp_path):
    (tmp_path / "a.csv").write_text(
        "x,label\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(20))
    )
    data_set = DATASETS.find(str(tmp_path / "a.csv"))
    own = data_set.settings()
    first = data_set.load("", own)
    stored = json.loads(json.dumps(first.prepared))
    again = data_set.reload("", own, stored)
    np.testing.assert_array_equal(first.features, again.features)
    stored["features"][0]["mean"] += 1
    moved = data_set.reload("", own, stored)
    assert (moved.features < first.features).all()  # the stored numbers count, not a new fit


def test_a_row_is_named_with_its_line_where_lines_and_rows_differ(tmp_path):
    path = tmp_path / "notes.csv"
    plain = "text,label\na,x\nb,y\n,x\n"  # the third row is on line 4, as below any header
    path.write_text(plain, encoding="utf-8")
    with pytest.raises(UserError, match=r"notes.csv, row 3: no text"):
        load_table(str(path), TableSettings(text_column="text", test_share=0.1))
    path.write_text(plain.replace("a,x\n", '\n"a\nb",x\n\n'), encoding="utf-8")  # three lines more
    with pytest.raises(UserError, match=r"notes.csv, row 3 \(line 7\): no text"):
        load_table(str(path), TableSettings(text_column="text", test_share=0.1))


def test_parquet_and_saved_folders_keep_types(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"n": pa.array([1.0, None, 3.0, 4.0]), "label": pa.array([0, 1, 0, 1])})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match="a.parquet, row 2: column 'n' must have a value"):
        load(str(tmp_path / "a.parquet"))
    folder = tmp_path / "saved"
    folder.mkdir()
    info = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    whole = pa.table({"n": [1.0, 2.0, 3.0, 4.0], "label": [0, 1, 0, 1]}).replace_schema_metadata(
        {b"huggingface": json.dumps(info).encode()}
    )
    with pa.OSFile(str(folder / "data.arrow"), "wb") as sink:
        with pa.ipc.new_stream(sink, whole.schema) as writer:
            writer.write_table(whole)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    data = load(str(folder))
    assert data.class_names == ("no", "yes") and data.features.shape[1] == 1


def test_names_that_are_no_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd").mkdir()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "train").mkdir()
    for name, message in (
        ("none.csv", "a file or folder that exists; got '.*none.csv'"),
        ("./odd", "of no known kind; known are FILE.npz"),
        ("odd", "unknown name 'odd'"),
        ("plain", "a folder of images for each class; got none"),
        ("./digits", "a file or folder that exists"),
    ):
        with pytest.raises(UserError, match=message):
            load(name)
    assert load("digits").name == "digits"


def test_data_of_other_parts_are_refused():
    x = np.zeros((3, 2), np.float32)
    good = LabeledData("own", x, [0, 1, 0], x, [0, 1, 0], 2)
    for change, message in (
        (dict(ids=np.array(["a"])), "ids of own must have 3 entries; got 1"),
        (dict(class_names=("a",)), "class_names of own must have 2 entries; got 1"),
        (dict(columns={"c": np.array(["a"])}), "column c of own must have 3 entries; got 1"),
        (dict(classes=2.5), "a whole number of classes; got 2.5"),
        (dict(features=np.array(["a", "b", "c"])), "must be numbers with one row"),
    ):
        with pytest.raises(UserError, match=message):
            dataclasses.replace(good, **change)


def test_tf_data_is_read_to_its_end():
    import tensorflow as tf

    from tfunlearn.datasets import from_tf_data

    x, y = np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20) % 2
    pairs = tf.data.Dataset.from_tensor_slices((x, y))
    plain = from_tf_data(pairs, pairs.take(4), name="own")
    np.testing.assert_array_equal(plain.features, x)
    assert plain.labels.tolist() == y.tolist() and plain.test_labels.tolist() == [0, 1, 0, 1]
    batched = from_tf_data(pairs.batch(3))
    np.testing.assert_array_equal(batched.features, from_tf_data(pairs).features)
    several = from_tf_data(tf.data.Dataset.from_tensor_slices((dict(a=x, b=y[:, None]), y)))
    assert several.input_shape == {"a": (2,), "b": (1,)}
    ragged = tf.data.Dataset.from_generator(
        lambda: iter([(np.zeros(2), 0), (np.zeros(3), 1)]),
        output_signature=(tf.TensorSpec([None]), tf.TensorSpec([], tf.int32)),
    )
    for bad, message in (
        (pairs.repeat(), "train: must be a tf.data.Dataset with an end"),
        (pairs.map(lambda a, b: a), "of pairs .features, label.; got TensorSpec"),
        (pairs.take(0), "at least one example; got none"),
        ([1, 2], "must be a tf.data.Dataset of pairs"),
        (ragged, "examples of one shape; got several"),
    ):
        with pytest.raises(UserError, match=message):
            from_tf_data(bad)


class _Partitioner:
    """What `from_flower` reads of a partitioner: two partitions of four rows."""

    num_partitions = 2
    partition_id_to_natural_id = {0: "North", 1: "South"}

    def load_partition(self, number):
        return _Rows(x=[number, 1, 2, 3], ward=["a", "b", "a", "b"], label=["no", "yes"] * 2)


class _Rows(dict):
    column_names = property(list)
    __len__ = lambda self: len(self["x"])


def test_flowers_partitions_are_clients_and_never_features():
    from tfunlearn.datasets import from_flower

    data = from_flower(_Partitioner())
    assert set(data.writers) == {"North", "South"}
    assert data.feature_names == ("x", "ward=a", "ward=b")
    by_ward = from_flower(_Partitioner(), client_column="ward")
    assert set(by_ward.writers) == {"a", "b"} and by_ward.feature_names == ("x",)
    with pytest.raises(UserError, match="label_column: flower has no column 'sick'"):
        from_flower(_Partitioner(), label_column="sick")
    with pytest.raises(UserError, match="test_file"):
        from_flower(_Partitioner(), test_file="test.csv")
    with pytest.raises(UserError, match="must be a partitioner of flwr-datasets; got int"):
        from_flower(3)
