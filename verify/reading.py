"""Documents from disk, which anybody may have written: read within limits, refused in one line.

A file of a few kilobytes can be nested until Python's stack ends, hold integers that no float can, or letters that
cannot be printed; one of a few gigabytes fills the memory. Whoever reads JSON or TOML here gets a value that can be
walked recursively, computed with and printed, or a ``ValueError``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["DEPTH", "LIMIT", "in_a_line", "parse_json", "read_bytes", "read_json", "read_text", "read_toml"]

LIMIT = 16 * 2**20
"""Bytes. Parsed, the worst of so many ("[[],[],[], ...") takes about 400 MB."""

DEPTH = 64
"""Of lists and objects within each other."""

_DOTTED = re.compile(
    r"""(?:^|[\[{,])[ \t]*(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*)"""
    f"{{{DEPTH}}}",
    re.ASCII | re.MULTILINE,
)
"""A key of so many parts, each a table within the last: reading it takes quadratic time."""

BITS = 1024
"""Of an integer: a greater one is no float."""


def in_a_line(error: Exception, most: int | None = 200) -> str:
    r"""What an error says, in a line; of a library's so many letters at most; its class where it says nothing.

    >>> in_a_line(ValueError("a\n  b")), in_a_line(RecursionError())
    ('a b', 'RecursionError')
    >>> in_a_line(FileNotFoundError(2, "No such file or directory", "nosuch"))
    'nosuch: No such file or directory'
    """
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(text.split())[:most] or type(error).__name__


class ClaimError(ValueError):
    """A file of ``verify/claims`` that defines no claim: what is wrong with it, and what is expected."""


def obstacle(folder: Path, error: OSError) -> str:
    """Why a folder cannot be made: what stands where one of its parents should be, or what the system says.

    >>> obstacle(Path("/dev/null/results"), FileExistsError(17, "File exists"))
    '/dev/null is not a directory'
    """
    file = next((parent for parent in folder.parents if parent.exists() and not parent.is_dir()), None)
    return f"{file} is not a directory" if file else error.strerror or str(error)


def read_bytes(path: Path, *, what: str, limit: int = LIMIT) -> bytes:
    """The content of a file of at most ``limit`` bytes.

    Raises
    ------
    ValueError
        If the file is missing, cannot be read, is a pipe (whose end may never come), or is larger.
    """
    try:
        if path.is_fifo():
            raise ValueError("it is a pipe; name a file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        raise ValueError(f"{path}: {what} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(data) > limit:
        raise ValueError(f"{path}: {what} is larger than {limit:,} bytes, the limit")
    return data


def read_text(path: Path, *, what: str, limit: int = LIMIT) -> str:
    """The UTF-8 text of a file of at most ``limit`` bytes.

    Raises
    ------
    ValueError
        As :func:`read_bytes`, and if the file is not UTF-8.
    """
    try:
        return read_bytes(path, what=what, limit=limit).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {what} is not UTF-8 text (byte {error.start})") from None


def parse_json(text: str, *, what: str) -> Any:
    """The value of a JSON text.

    Raises
    ------
    ValueError
        If the text is not JSON, is nested deeper than 64, or holds an integer beyond every float or a lone surrogate.

    Examples
    --------
    >>> parse_json('{"alpha": [0.5, 2]}', what="a configuration")
    {'alpha': [0.5, 2]}
    >>> parse_json("[" * 100_000, what="a configuration")
    Traceback (most recent call last):
    ...
    ValueError: a configuration is nested too deeply: at most 64 lists and objects within each other
    """
    return _parsed(json.loads, text, what, "JSON")


def read_json(path: Path, *, what: str, limit: int = LIMIT) -> Any:
    """The value of a JSON file of at most ``limit`` bytes; errors are as in :func:`parse_json` and begin with the path.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it should be, for the error, in the singular, such as "the results file".
    limit : int
        Bytes.
    """
    return _parsed(json.loads, read_text(path, what=what, limit=limit), f"{path}: {what}", "JSON")


def read_toml(path: Path, *, what: str) -> Any:
    """The value of a TOML file; as :func:`read_json`, of fewer bytes, since reading TOML can take quadratic time."""
    text, what = read_text(path, what=what, limit=2**16), f"{path}: {what}"
    if _DOTTED.search(text):
        raise ValueError(_too_deep(what))
    return _parsed(tomllib.loads, text, what, "TOML")


def _parsed(parse: Callable[[str], Any], text: str, what: str, language: str) -> Any:
    try:
        value = parse(text)
    except RecursionError:
        raise ValueError(_too_deep(what)) from None
    except ValueError as error:
        raise ValueError(f"{what} is not valid {language} ({error})") from None
    # Level by level, not recursively.
    level: list[Any] = [value]
    for _ in range(DEPTH + 1):
        inside: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                inside += part.keys()
                inside += part.values()
            elif isinstance(part, list):
                inside += part
            elif isinstance(part, int) and part.bit_length() > BITS:
                raise ValueError(f"{what} holds an integer of more than {BITS} bits, beyond every float")
            elif isinstance(part, str) and not part.isascii():
                _check_letters(part, what)
        if not inside:
            return value
        level = inside
    raise ValueError(_too_deep(what))


def _too_deep(what: str) -> str:
    return f"{what} is nested too deeply: at most {DEPTH} lists and objects within each other"


def _check_letters(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} holds a lone surrogate (\\ud800 to \\udfff), which is not a character") from None
