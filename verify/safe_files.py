"""Files of ours: written whole, locked and removed where they are, never through a link to somewhere else.

A results directory may come from anybody. A link in it, where a run writes or removes files of its own, would lead out
of it; so links are refused there, and only what this program names itself is ever removed.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["locked", "own_folder", "remove_files", "write_atomically"]

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def write_atomically(path: Path, content: str | bytes, *, private: bool = False) -> None:
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
    # `results_folder.final_name` and the trainer's `_left_over` know this form.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | _NO_LINKS
    handle = os.open(temporary, flags, 0o600 if private else 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def own_folder(path: Path) -> Path:
    """A folder of this program's, private to the user if it is made here.

    Raises
    ------
    OSError
        If it is a link or no folder, or cannot be made.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(f"{path}: is a link or a file, where a directory of this program's is expected")
    return path


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove regular files (and links, not what they lead to) of a folder that is no link itself; folders stay."""
    if not stat.S_ISDIR(folder.lstat().st_mode):
        return
    for name in names:
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR((folder / name).lstat().st_mode):
                (folder / name).unlink()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out of what this lock file stands for.

    The operating system holds the lock: it ends with its process, so a killed one blocks nobody. The file is made if
    it is not there; what it holds is neither read nor changed, and it is removed only if it is empty.

    Raises
    ------
    BlockingIOError
        If another process holds it.
    OSError
        If the file is a link or cannot be opened.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | _NO_LINKS, 0o600)
    try:
        _lock(handle, path)
        try:
            yield
        finally:
            # While it is held, lest it be another's. Windows removes no open file; there the file stays.
            with suppress(OSError):
                if os.fstat(handle).st_size == 0 and stat.S_ISREG(os.fstat(handle).st_mode):
                    path.unlink()
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    taken = BlockingIOError(f"{path}: another process holds this lock")
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have removed it meanwhile, and a new one made another.
        same = os.path.samestat(os.fstat(handle), path.lstat())
    except (BlockingIOError, PermissionError, FileNotFoundError):
        raise taken from None
    if not same:
        raise taken
