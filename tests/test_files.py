"""Files appear whole or not at all, alone and in company."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import contents
from trtconv import files
from trtconv.errors import BackendError, ConfigError, TrtconvError


@pytest.fixture
def umask() -> Iterator[None]:
    old = os.umask(0o027)
    yield
    os.umask(old)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fail_at(monkeypatch: pytest.MonkeyPatch, function: str, call: int, error: BaseException) -> None:
    """Let the given call of a function of `os` raise."""
    original, calls = getattr(os, function), []

    def fail(*args: object) -> object:
        calls.append(args)
        if len(calls) == call:
            raise error
        return original(*args)

    monkeypatch.setattr(os, function, fail)


def test_files_are_written_with_the_permissions_of_the_umask(tmp_path: Path, umask: None) -> None:
    files.write_atomically({tmp_path / "a": b"new", tmp_path / "b": memoryview(b"too")})
    assert contents(tmp_path) == {"a": b"new", "b": b"too"}
    assert mode(tmp_path / "a") == mode(tmp_path / "b") == 0o640


def test_nobody_sees_a_file_of_a_wider_mode_meanwhile(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.write_atomically({tmp_path / "a": b"secret"})
        assert mode(tmp_path / "a") == 0o600
        assert os.umask(0o077) == 0o077, "the umask, which all threads share, was changed"
    finally:
        os.umask(before)


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), BackendError),
        (OSError(errno.EIO, "Input/output error"), BackendError),
        (OSError(errno.EFBIG, "File too large"), ConfigError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["ENOSPC", "EIO", "EFBIG", "Ctrl-C"],
)
def test_when_one_file_fails_both_stay_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException, expected: type[BaseException]
) -> None:
    engine, manifest = tmp_path / "m.engine", tmp_path / "m.engine.json"
    engine.write_bytes(b"older")
    fail_at(monkeypatch, "fsync", call, error)
    with pytest.raises(expected) as caught:
        files.write_atomically({engine: b"newer", manifest: b"{}"})
    if isinstance(caught.value, TrtconvError):
        assert caught.value.where == str((engine, manifest)[call - 1])
        assert error.args[1] in caught.value.what
    assert contents(tmp_path) == {"m.engine": b"older"}


def test_a_failed_copy_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    fail_at(monkeypatch, "fsync", 1, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(BackendError, match="No space"):
        files.copy_atomically(source, tmp_path / "target")
    assert contents(tmp_path) == {"source": b"weights"}
    files.copy_atomically(source, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"weights"


def test_a_hash_is_that_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_CHUNK_BYTES", 3)
    (tmp_path / "a").write_bytes(b"weights")
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(ConfigError, match="no such file"):
        files.sha256(tmp_path / "none")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    files.require_writable(tmp_path / "link")
    files.write_atomically({tmp_path / "link": b"data"})
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "real") == {"file": b"data"}


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    files.write_atomically({path: b"data"})
    assert path.read_bytes() == b"data"


def test_what_cannot_be_written_is_told_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"model")
    (tmp_path / "same").hardlink_to(model)
    (tmp_path / "link").symlink_to(model)
    os.mkfifo(tmp_path / "pipe")
    wrong = {
        tmp_path / "no" / "x": "the folder does not exist",
        tmp_path: "is a folder",
        tmp_path / "pipe": "is not a regular file",
        model: "never overwritten",
        tmp_path / "same": "never overwritten",
        tmp_path / "link": "never overwritten",
    }
    for path, what in wrong.items():
        with pytest.raises(ConfigError, match=what):
            files.require_writable(path, inputs=(model,))
    files.require_writable(tmp_path / "new", inputs=(model, tmp_path / "absent"))
    monkeypatch.setattr(os, "access", lambda path, wanted: not wanted & os.W_OK)
    with pytest.raises(ConfigError, match="the folder is not writable"):
        files.require_writable(tmp_path / "new")
    with pytest.raises(ConfigError) as caught:
        files.require_writable(tmp_path / "new")
    assert caught.value.hint == "write elsewhere, for example: -o ~/new"
