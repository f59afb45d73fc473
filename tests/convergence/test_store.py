"""The store: files whole or not at all, entries intact or absent, nothing of others read, changed or removed."""

import hashlib
import io
import os

import numpy as np
import pytest

from convergence.store import (
    Store,
    key,
    locked,
    own_folder,
    packed,
    remove_unfinished,
    source_fingerprint,
    unpacked,
    write,
)

NAME = key("an entry")


def test_writing_leaves_the_file_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write(path, "one")

    def fail(self, target):
        raise OSError("no space")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="no space"):
        write(path, "two")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "one"


def test_a_lock_changes_and_removes_no_file_of_others(tmp_path):
    """One that is linked to a user's file is locked as it is; a symbolic link is refused."""
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("mine")
    hard, soft, new = (own_folder(tmp_path / name) for name in ("hard", "soft", "new"))
    (hard / ".lock").hardlink_to(thesis)
    (soft / ".lock").symlink_to(thesis)
    with locked(hard), pytest.raises(BlockingIOError, match="another process is writing to"), locked(hard):
        pytest.fail("two at once")
    with pytest.raises(OSError, match="soft"), locked(soft):
        pytest.fail("through a link")
    assert [path.read_text() for path in (thesis, hard / ".lock")] == ["mine"] * 2
    with locked(new):
        assert (new / ".lock").exists()
    assert not (new / ".lock").exists()


def test_what_a_kill_left_is_removed_by_its_name(tmp_path):
    for name in ("a.txt", ".a.txt.0123abcd", ".a.txt.0123abc", ".b.txt.0123abcd", ".a.txt.0123ABCD"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".a.txt.00000000").mkdir()
    remove_unfinished(tmp_path, {"a.txt"})
    left = {".a.txt.0123abc", ".b.txt.0123abcd", ".a.txt.0123ABCD", "a.txt", ".a.txt.00000000"}
    assert {p.name for p in tmp_path.iterdir()} == left
    (tmp_path / "link").symlink_to(tmp_path)
    remove_unfinished(tmp_path / "link", {"b.txt"})
    assert {p.name for p in tmp_path.iterdir()} == left | {"link"}


def test_an_entry_is_intact_or_absent(tmp_path):
    store, rng = Store(tmp_path), np.random.default_rng(0)
    state = {"a": np.arange(100.0), "done": np.array(3)}
    store.put(NAME, packed(state))
    kept = unpacked(store.get(NAME))
    assert kept is not None
    assert {name: array.tolist() for name, array in kept.items()} == {n: a.tolist() for n, a in state.items()}
    path = tmp_path / NAME
    whole = path.read_bytes()
    for place in rng.integers(0, len(whole), 200):
        # The mark, flags of an archive's entries, the names of arrays, their headers: each bit counts.
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        for content in (bytes(damaged), whole[:place]):
            path.write_bytes(content)
            assert store.get(NAME) is None
    path.write_bytes(whole)
    assert store.get(NAME, limit=len(whole)) is not None
    assert store.get(NAME, limit=len(whole) - 1) is None
    # Under another name it is another's.
    path.rename(tmp_path / key("another"))
    assert store.get(key("another")) is None
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        store.put("../thesis", "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX files")
def test_links_folders_and_pipes_are_no_entries(tmp_path):
    store = Store(own_folder(tmp_path / "work"))
    store.put(NAME, "x")
    (store.folder / NAME).rename(tmp_path / NAME)
    (store.folder / NAME).symlink_to(tmp_path / NAME)
    assert store.get(NAME) is None
    pipe, folder = key("pipe"), key("folder")
    os.mkfifo(store.folder / pipe)
    (store.folder / folder).mkdir()
    (store.folder / key("mine")).write_text("mine")
    assert [store.get(name) for name in (pipe, folder, key("mine"), key("none"))] == [None] * 4
    everything = sorted([NAME, pipe, folder, key("mine")])
    assert store.foreign() == everything
    store.remove()
    assert sorted(p.name for p in store.folder.iterdir()) == everything
    with pytest.raises(NotADirectoryError):
        own_folder(store.folder / NAME)


def test_only_what_bears_the_mark_is_removed(tmp_path):
    store = Store(tmp_path)
    for name in (f"{NAME}.0-1.part", f"{NAME}.done", key("another")):
        store.put(name, "x")
    (tmp_path / f".{NAME}.0-1.part.0123abcd").write_bytes(b"half")
    with (tmp_path / f"{NAME}.done").open("ab") as file:
        file.write(b"damaged")  # ours still
    (tmp_path / f"{NAME}.notes").write_text("mine")
    (tmp_path / "thesis.tex").write_text("mine")
    assert store.foreign() == sorted([f"{NAME}.notes", "thesis.tex"])
    store.remove(NAME)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([f"{NAME}.notes", "thesis.tex", key("another")])


def test_arrays_that_are_no_archive_or_unpack_to_more_are_none(tmp_path):
    squeezed = io.BytesIO()
    np.savez_compressed(squeezed, x=np.zeros(100_000))
    for content in (None, b"", b"x", b"PK\x03\x04", squeezed.getvalue()):
        assert unpacked(content) is None


def test_keys_and_fingerprints_tell_apart(tmp_path, monkeypatch):
    assert len({key(), key(1), key("1"), key([1]), key(1, 2), key([1, 2]), key({"a": 1}), key(1.5)}) == 8
    assert key("a") == hashlib.sha256(b'["a"]').hexdigest()[:32]
    for number, text in enumerate(("x = 1\n", "x = 2\n")):
        package = tmp_path / f"p{number}" / "mypackage"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "part.py").write_text(text)
    seen = set()
    for number in range(2):
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path / f"p{number}")
            patch.delitem(__import__("sys").modules, "mypackage", raising=False)
            source_fingerprint.cache_clear()
            seen.add(source_fingerprint(("mypackage",), ("numpy",)))
            patch.delitem(__import__("sys").modules, "mypackage", raising=False)
    source_fingerprint.cache_clear()
    seen.add(source_fingerprint(("convergence",), ("numpy",)))
    seen.add(source_fingerprint(("convergence",), ("numpy", "no-such-library")))
    assert len(seen) == 4
