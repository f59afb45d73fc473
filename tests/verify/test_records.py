"""Records: damaged, truncated and foreign documents are refused in one line; files are written whole or not at all."""

import json

import pytest

from verify.records import Comparison, RecordError, combine, read_run


@pytest.fixture(scope="module")
def document(finished):
    return finished.run("C2a").model_dump_json()


def test_round_trip(tmp_path, document):
    path = tmp_path / "results.json"
    path.write_text(document)
    assert read_run(path).model_dump_json() == document
    json.loads(document, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_infinities_survive_as_json():
    c = Comparison(name="n", outcome="refuted", relation="≤", observed=float("inf"), allowed=1.0, margin=float("-inf"))
    assert Comparison.model_validate_json(c.model_dump_json()) == c
    json.loads(c.model_dump_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d[: len(d) // 2], "not valid JSON"),
        (lambda d: "", "not valid JSON"),
        (lambda d: "[]", "not a results document"),
        (lambda d: '{"a": 1}', "not a results document"),
        (lambda d: d.replace('"schema_version":6', '"schema_version":99'), "schema version 99, this program reads 6"),
        (lambda d: d.replace('"profile":"quick"', '"profile":"odd"'), "damaged at profile"),
        (lambda d: d.replace('"profile":"quick"', '"profile":"quick","more":1'), "damaged at more"),
        (lambda d: d.replace('"profile":"quick"', '"profile":"full"'), "was changed after it was written"),
        (lambda d: d.replace('"refuted"', '"confirmed"', 1), "was changed after it was written"),
    ],
)
def test_unusable_documents(tmp_path, document, damage, message):
    path = tmp_path / "results.json"
    path.write_text(damage(document))
    with pytest.raises(RecordError, match=message) as error:
        read_run(path)
    assert "\n" not in str(error.value)
    assert "rdml run" in str(error.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(RecordError, match="no such file"):
        read_run(tmp_path / "results.json")
    (tmp_path / "results.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError, match="not UTF-8"):
        read_run(tmp_path / "results.json")


def test_combine():
    assert combine(["confirmed", "confirmed"]) == "confirmed"
    assert combine(["confirmed", "undecided", "refuted"]) == "refuted"
    assert combine([]) == "undecided"
