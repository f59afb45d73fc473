"""Files of this program: written whole, sealed, locked, and removed only where they are known to be its own.

A folder may come from anybody, with links and files of others in it. What is written here goes through no link; what
is read has the digest in its first line, or counts as absent; what is removed bears this program's seal.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import stat
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = [
    "LOCK",
    "Store",
    "key",
    "locked",
    "own_folder",
    "packed",
    "remove_unfinished",
    "seal",
    "source_fingerprint",
    "unpacked",
    "version_of",
    "write",
]  # fmt: skip

LOCK = ".lock"
"""The file in a folder that stands for whoever writes there."""

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_UNFINISHED = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}")
_NAME = re.compile(r"[0-9a-f]{32}[\w.-]{0,64}", re.ASCII)


# ---------------------------------------------------------------------------------------------------------------------
# What work depends on


def key(*parts: object) -> str:
    """A name of 32 hexadecimal digits for what these parts determine: text, numbers, lists and mappings.

    >>> key("quadratic", {"a": 1, "b": 2.5}) == key("quadratic", {"b": 2.5, "a": 1}), len(key())
    (True, 32)
    """
    return seal(json.dumps(parts, sort_keys=True))[:32]


def seal(*content: str | bytes | memoryview) -> str:
    """The SHA-256 of content, part after part, in 64 hexadecimal digits: by it one knows that no bit has changed.

    >>> seal("ab") == seal("a", b"b"), len(seal())
    (True, 64)
    """
    digest = hashlib.sha256()
    for part in content:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


@cache
def source_fingerprint(packages: tuple[str, ...], libraries: tuple[str, ...]) -> str:
    """A digest of every Python source of some packages and of the versions of libraries: equal ones mean equal code."""
    content: list[str | bytes] = []
    for package in packages:
        found = find_spec(package)
        if found is None or found.origin is None:
            raise ValueError(f"packages = {packages!r}: {package} cannot be imported")
        root = Path(found.origin).parent
        for path in sorted(root.rglob("*.py")):
            content += (f"{package}/{path.relative_to(root).as_posix()}\0", path.read_bytes())
    return key(seal(*content), {name: version_of(name) for name in libraries})


def version_of(library: str) -> str:
    """The version of a distribution, or "not installed"."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


# ---------------------------------------------------------------------------------------------------------------------
# Files and folders


def write(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a file under a temporary name beside its place, then rename it: readers see all of it or nothing.

    Parameters
    ----------
    path : Path
        The file. If it is a link, the link is replaced, not what it leads to.
    content : str or bytes
        Text is written as UTF-8.
    private : bool
        Whether only the user may read the file; else that is for the system to say (the umask).
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # _UNFINISHED is its form
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o600 if private else 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def final_name(name: str) -> str:
    """The name that a file has once it is written: killed processes leave files under their temporary names.

    >>> final_name(".results.json.0a1b2c3d"), final_name("results.json")
    ('results.json', 'results.json')
    """
    found = _UNFINISHED.fullmatch(name)
    return found["name"] if found else name


def remove_unfinished(folder: Path, names: Iterable[str]) -> None:
    """Remove what killed processes have left half-written of files of these names, in a locked folder."""
    own = frozenset(names)
    if folder.is_dir() and not folder.is_symlink():
        for entry in list(folder.iterdir()):
            if final_name(entry.name) != entry.name and final_name(entry.name) in own and not _is_folder(entry):
                entry.unlink(missing_ok=True)


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def own_folder(path: Path) -> Path:
    """A folder of this program's, private to the user if it is made here.

    Raises
    ------
    OSError
        If it is a link or no folder, or cannot be made.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not _is_folder(path):
        raise NotADirectoryError(f"{path}: is a link or a file, where a directory of this program's is expected")
    return path


@contextmanager
def locked(folder: Path, unfinished: Iterable[str] = ()) -> Iterator[None]:
    """Keep other processes of this program out of a folder, and remove what killed ones left half-written there.

    The operating system holds the lock, on the file ``.lock``: it ends with its process, so a killed one blocks nobody.
    What the file holds is neither read nor changed, and it is removed only if it is empty.

    Parameters
    ----------
    folder : Path
        An existing folder.
    unfinished : iterable of str
        The names of the files that are written in it: see :func:`remove_unfinished`.

    Raises
    ------
    BlockingIOError
        If another process is writing to the folder.
    OSError
        If the file is a link or cannot be opened.
    """
    path = folder / LOCK
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINKS, 0o600)
    try:
        if not _taken(handle, path):
            raise BlockingIOError(f"another process is writing to {folder}; wait for it or name another directory")
        try:
            remove_unfinished(folder, unfinished)
            yield
        finally:
            # While it is held: later it may be another's. Windows removes no open file; there the file stays.
            with suppress(OSError):
                if os.fstat(handle).st_size == 0 and stat.S_ISREG(os.fstat(handle).st_mode):
                    path.unlink()
    finally:
        os.close(handle)


def _taken(handle: int, path: Path) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have removed it meanwhile, and a new one made another.
        return os.path.samestat(os.fstat(handle), path.lstat())
    except (BlockingIOError, PermissionError, FileNotFoundError):
        return False


# ---------------------------------------------------------------------------------------------------------------------
# Entries


@dataclass(frozen=True)
class Store:
    """A folder of finished and unfinished work, each entry under a name that says what it depends on.

    An entry is a file: a line with this program's mark, the entry's name and the SHA-256 of the rest, then the rest. By
    it an entry is known that was damaged, renamed or edited by hand. It keeps no secret: whoever wants to forge an
    entry can compute its digest too, as he can change the program.

    Parameters
    ----------
    folder : Path
        An existing folder, see :func:`own_folder`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store, name = Store(Path(folder)), key("work", 1)
    ...     store.put(name, "done")
    ...     store.get(name), store.get(key("work", 2)), store.foreign()
    (b'done', None, [])
    """

    folder: Path

    def put(self, name: str, content: str | bytes) -> None:
        """Keep an entry, for its user alone; ``name`` is a :func:`key`, with an ending or without."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"name = {name!r}: expected 32 hexadecimal digits, with an ending or without")
        data = content.encode() if isinstance(content, str) else content
        write(self.folder / name, _mark(name) + f" {seal(data)}\n".encode() + data, private=True)

    def get(self, name: str, *, limit: int | None = None) -> bytes | None:
        """The content of an entry; None if there is none, any of its bits has changed, or it is beyond the limit."""
        with suppress(OSError):
            handle = os.open(self.folder / name, os.O_RDONLY | _NO_LINKS)
            with os.fdopen(handle, "rb") as stream:
                found = os.fstat(handle)
                if stat.S_ISREG(found.st_mode) and (limit is None or found.st_size <= limit):
                    mark, _, digest = stream.readline(256).rstrip(b"\n").rpartition(b" ")
                    content = stream.read()
                    return content if mark == _mark(name) and digest == seal(content).encode() else None
        return None

    def foreign(self) -> list[str]:
        """The names of what this program has not put here."""
        return sorted(path.name for path in self.folder.iterdir() if not _is_own(path))

    def remove(self, prefix: str = "") -> None:
        """Remove the entries whose names begin so, also half-written ones, and nothing that is not this program's."""
        for path in list(self.folder.iterdir()):
            if final_name(path.name).startswith(prefix) and _is_own(path):
                path.unlink(missing_ok=True)


def _mark(name: str) -> bytes:
    return f"rdml-theory {name}".encode()


def _is_own(path: Path) -> bool:
    """Whether a file is an entry, whole or damaged behind its mark, or the beginning of one."""
    name = final_name(path.name)
    if not _NAME.fullmatch(name) or not stat.S_ISREG(path.lstat().st_mode):
        return False
    if name != path.name:
        return True
    with path.open("rb") as stream:
        mark = _mark(name) + b" "
        return stream.read(len(mark)) == mark


def packed(arrays: dict[str, Any]) -> bytes:
    """Arrays as the content of an entry."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpacked(content: bytes | None) -> dict[str, Any] | None:
    """The arrays of an entry; None if there is none, or it holds none. Nothing is unpickled."""
    if content is None:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as entries:
            # As written here: nothing that unpacks to more than it is.
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.infolist()):
                return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile):
        return None
