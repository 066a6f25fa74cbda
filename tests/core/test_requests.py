"""Requests to forget: words, masks over examples, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError
from tfunlearn.core.requests import ForgetRequest, read_examples


@pytest.fixture
def clients():
    """Clients with examples 0-1, 2-4, none, 5."""
    return ClientSet(
        np.zeros((6, 2, 2, 1), np.uint8),
        np.array([0, 1, 1, 2, 0, 1], np.int32),
        np.array([0, 2, 5, 5, 6]),
    )


@pytest.mark.parametrize(
    "words, gone",
    [
        (["client:1"], [2, 3, 4]),
        (["client:0", "client:3"], [0, 1, 5]),
        (["class:1"], [1, 2, 5]),
        (["example:1:2"], [4]),
        (["example:1:0", "class:0", "client:3"], [0, 2, 4, 5]),
        (["client:2"], []),
        (["malicious"], [0, 1]),
    ],
)
def test_what_goes(clients, words, gone):
    request = ForgetRequest.parse(words, malicious=[0])
    assert np.flatnonzero(request.rows(clients, 3)).tolist() == gone


def test_what_remains_keeps_ids_and_order(clients):
    rest = clients.where(~ForgetRequest(clients=(1,), classes=(1,)).rows(clients, 3))
    assert rest.sizes.tolist() == [1, 0, 0, 0] and rest.present.tolist() == [0]
    assert rest.labels.tolist() == [0] and len(rest) == 4
    assert clients.where(np.ones(6, bool)).offsets.tolist() == clients.offsets.tolist()


def test_words_are_read_back_and_sorted():
    request = ForgetRequest.parse(["example:3:9", "client:7", "class:1", "client:2", "client:7"])
    assert request.words() == ["client:2", "client:7", "class:1", "example:3:9"]
    assert ForgetRequest.parse(request.words()) == request
    assert not request.whole_clients and ForgetRequest((1,)).whole_clients


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "at least one client"),
        (["client:x"], "forget: .*got 'client:x'"),
        (["client:-1"], "malicious, detected, client:ID"),
        (["clients:1"], "class:LABEL"),
        (["malicious"], "no client of this run is malicious"),
        (["example:1"], "example:CLIENT:INDEX"),
    ],
)
def test_words_that_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        ForgetRequest.parse(words)


@pytest.mark.parametrize(
    "words, message",
    [
        (["client:4"], "client: .*0 to 3; got 4"),
        (["class:3"], "class: .*0 to 2; got 3"),
        (["example:1:3"], "examples: .*0 to 2 for client 1.*got '1:3'"),
        (["example:9:0"], "client: .*got 9"),
    ],
)
def test_what_does_not_exist(clients, words, message):
    with pytest.raises(UserError, match=message):
        ForgetRequest.parse(words).rows(clients, 3)


def test_examples_from_text_and_file(tmp_path):
    assert read_examples("3:5, 4:0,") == ["example:3:5", "example:4:0"]
    (tmp_path / "list.txt").write_text("# client:index\n3:5\n\n 4 : 0  # second\n")
    assert read_examples(str(tmp_path / "list.txt")) == ["example:3:5", "example:4:0"]
    (tmp_path / "mixed.txt").write_text("3:5\n P-17 \n# nobody\nscan 1.png\n")
    assert read_examples(str(tmp_path / "mixed.txt")) == [
        "example:3:5",
        "example-id:P-17",
        "example-id:scan 1.png",
    ]
    (tmp_path / "ids.csv").write_text("name,id\nAda,P-1\nBob,P-2\n")
    assert read_examples(str(tmp_path / "ids.csv")) == ["example-id:P-1", "example-id:P-2"]
    (tmp_path / "excel.csv").write_text("reason;patient_id\nmoved;P-1\nasked;3:5\n")
    assert read_examples(str(tmp_path / "excel.csv")) == ["example-id:P-1", "example-id:3:5"]
    (tmp_path / "both.csv").write_text("ID,hospital_id\nP-1,H-2\n")
    assert read_examples(str(tmp_path / "both.csv")) == ["example-id:P-1"]
    (tmp_path / "paid.csv").write_text("name,paid\nbob,1\n")
    with pytest.raises(UserError, match="a CSV file with a column id; it has .'name', 'paid'."):
        read_examples(str(tmp_path / "paid.csv"))
    (tmp_path / "camel.csv").write_text("patientId,covid\nP-1,0\n")
    assert read_examples(str(tmp_path / "camel.csv")) == ["example-id:P-1"]
    (tmp_path / "only.csv").write_text("P-1\n3:5\n")  # no header, so nothing may be left out
    assert read_examples(str(tmp_path / "only.csv")) == ["example-id:P-1", "example:3:5"]
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbfP-1\r\nP-2\r\n")
    assert read_examples(str(tmp_path / "bom.txt")) == ["example-id:P-1", "example-id:P-2"]
    (tmp_path / "two.csv").write_text("patient,day\nP-1,3\n")
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "2.png").write_bytes(b"")
    (tmp_path / "photos" / ".hidden").write_bytes(b"")
    assert read_examples(str(tmp_path / "photos")) == ["example-id:cat/2.png"]
    (tmp_path / "nothing").mkdir()
    for text, message in (
        ("3:5,4", "must be client:index pairs"),
        (str(tmp_path / "two.csv"), "a CSV file with a column id; it has .'patient', 'day'."),
        (str(tmp_path / "nothing"), "a folder with at least one file"),
        ("", "must be client:index pairs"),
        (str(tmp_path / "none"), "No such file"),
    ):
        with pytest.raises(UserError, match=message):
            read_examples(text)
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(UserError, match="at least one client:index"):
        read_examples(str(tmp_path / "empty.txt"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no text"):
        read_examples(str(tmp_path / "binary"))


def test_names_and_identifiers_become_numbers():
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    known = dict(clients=["North", "3"], classes=["5", "10", "cat"], places=places, named="it")
    words = ["client-name:North", "class-name:10", "class-name:2", "example-id:b", "client-name:1"]
    request = ForgetRequest.parse([*words, "example-id:x", "example-id:t", "example:1:1"])
    found, ids, missing, held_out = request.resolve(
        ids=["a", "b", "c", "b"], test_ids=["t"], **known
    )
    assert ids == ["b"]
    # the name 10 is class 1; 2 is no name, so a number; the identifier b stands twice
    assert found == ForgetRequest(clients=(0, 1), classes=(1, 2), examples=((0, 1), (1, 1)))
    assert (missing, held_out) == (["x"], ["t"])
    listed = ForgetRequest.parse(["example-id:Patient", "example-id:a"])  # a list with a header
    known_ids = dict(ids=["a", "b", "c", "d"], id_column="patient", **known)
    assert listed.resolve(**known_ids) == (ForgetRequest(examples=((0, 0),)), ["a"], [], [])
    for word, ids, message in (
        ("client-name:Nord", None, "client: must be from 0 to 1, or a name such as .*'North'"),
        ("client-name:2", None, "client: must be from 0 to 1"),
        ("class-name:dog", None, "class: .* one of 5, 10, cat, or a number from 0 to 2; got dog"),
        ("example-id:b", None, "identifiers such as 'b' need data that have some; it has none"),
        ("example-id:t", ["a"], "none of 1 identifiers .*1 are held out for testing.; got 't'"),
    ):
        with pytest.raises(UserError, match=message):
            ForgetRequest.parse([word]).resolve(ids=ids, test_ids=["t"], **known)
    with pytest.raises(UserError, match="resolved to numbers first"):
        ForgetRequest(names=("class-name:a",)).rows(
            ClientSet(np.zeros((1, 1)), np.zeros(1, int), np.array([0, 1])), 1
        )
