"""Hostile JSON and TOML: a value or one clear line, in little time and memory."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from verify import reading
from verify.reading import DEPTH, parse_json, read_json, read_text, read_toml
from verify.records import RecordError, read_run
from verify.trainer.errors import TrainerError
from verify.trainer.folder import METRICS, read_metrics

WHAT = "a document"


def nested(depth):
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("1" * 5000, "is not valid JSON .*digits"),
        ('{"a": %s}' % ("9" * 400), "an integer of more than 1024 bits"),
        ('{"a": [-%s]}' % ("9" * 400), "an integer of more than 1024 bits"),
        (nested(DEPTH + 2), "nested too deeply"),
        (nested(10**5), "nested too deeply"),
        ('{"a":' * 10**5, "nested too deeply"),
        (r'{"\ud800": 1}', "a lone surrogate"),
        (r'["\udc00"]', "a lone surrogate"),
    ],
    ids=lambda text: text[:12],
)
def test_hostile_json_is_one_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text, what=WHAT)
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_json(path, what=WHAT)
    said = str(caught.value)
    assert said.startswith(f"{path}: {WHAT} ")
    assert "\n" not in said
    assert len(said) < 300 + len(str(path))


@pytest.mark.parametrize("value", [None, 1.5, 2**1000, "α", {"a": [1, {"β": "\U0001f600"}]}, [[]]])
def test_honest_json_is_its_value(tmp_path, value):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    assert read_json(path, what=WHAT) == value
    path.write_text(nested(DEPTH))
    assert read_json(path, what=WHAT) == json.loads(nested(DEPTH))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a =", "is not valid TOML"),
        ("a = " + nested(10**4), "nested too deeply"),
        ("a" + ".a" * (DEPTH + 2) + " = 1", "nested too deeply"),
        ("a = 0x" + "f" * 5000, "an integer of more than 1024 bits"),
        ("a = 0" + "\n" * 2**16, "larger than 65,536 bytes"),
    ],
    ids=lambda text: text[:12],
)
def test_hostile_toml_is_one_line(tmp_path, text, message):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_toml(path, what=WHAT)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(ValueError, match=r"a\.json: a document cannot be read \(No such file"):
        read_json(path, what=WHAT)
    with pytest.raises(ValueError, match="cannot be read"):
        read_json(tmp_path, what=WHAT)
    with pytest.raises(ValueError, match="cannot be read"):
        read_json(Path("a\0b"), what=WHAT)
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ValueError, match=r"is not UTF-8 text \(byte 7\)"):
        read_json(path, what=WHAT)
    path.write_bytes(b"1" * 11)
    assert read_text(path, what=WHAT, limit=11) == "1" * 11
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        read_text(path, what=WHAT, limit=10)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_pipe_to_which_nobody_writes_is_not_waited_for(tmp_path):
    path = tmp_path / "results.json"
    os.mkfifo(path)
    with pytest.raises(ValueError, match="it is a pipe"):
        read_json(path, what=WHAT)


@pytest.mark.parametrize("read", [lambda path: read_run(path / "results.json"), read_metrics])
def test_errors_are_sentences(tmp_path, read):
    """Their subject is one file: "the results ... is nested" would not be English."""
    for name in ("results.json", METRICS):
        (tmp_path / name).write_bytes(b"\xff")
    with pytest.raises((RecordError, TrainerError), match=r"the (results|metrics) file is not UTF-8 text"):
        read(tmp_path)


def test_an_endless_file_is_not_read_to_its_end():
    with pytest.raises(ValueError, match="larger than"):
        read_json(Path("/dev/zero"), what=WHAT)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["[],", "{},", '{"":0},', '"\\u00e9",', "1,"])
def test_the_worst_file_within_the_limit_takes_less_than_a_gigabyte(tmp_path, unit):
    from verify.reading import LIMIT

    path = tmp_path / "a.json"
    path.write_text("[" + unit * ((LIMIT - 4) // len(unit)) + "0]")
    code = (
        "import resource, sys; from pathlib import Path; from verify.reading import read_json;"
        "read_json(Path(sys.argv[1]), what='x');"
        "used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime, used.ru_maxrss)"
    )
    out = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    seconds, kibibytes = map(float, out.stdout.split())
    assert seconds < 5
    assert kibibytes * 1024 < 10**9


@pytest.mark.parametrize("head", ["", "[", "[[ ", "x = {", "x = {y = 1, ", " "])
@pytest.mark.parametrize("part", ["a", '"a"', "'a' ", "-"])
def test_keys_of_many_parts_take_no_quadratic_time(tmp_path, head, part):
    path = tmp_path / "x.toml"
    path.write_text(head + f"{part}." * ((2**16 - 40) // (len(part) + 1)) + "a = 1")
    begin = time.process_time()
    with pytest.raises(ValueError, match="nested too deeply: at most 64"):
        read_toml(path, what="a sweep")
    assert time.process_time() - begin < 0.5


@pytest.mark.parametrize("unit", ["\n", " ", ",", ",a", ',"', ',"a".', "a.\n", "[", "a.", ",a.b", "\t\n"])
def test_looking_for_such_keys_takes_no_time_either(unit):
    begin = time.process_time()
    reading._DOTTED.search(unit * (2**16 // len(unit)))
    assert time.process_time() - begin < 0.5


def test_dots_in_values_are_no_tables(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(
        "x = '" + "a." * 200 + "'\ny = ['" + "a." * 200 + "', '" + "b." * 99 + "']\n" + "a." * 63 + "a = 1\n"
    )
    assert read_toml(path, what="a sweep")["x"] == "a." * 200
