"""Engine and manifest are the old pair or the new pair, whatever fails and whoever else writes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import resource
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support.pairs import NEW, OLD, OTHER, require_pair, require_tidy, write
from trtconv import manifest, parts
from trtconv.errors import BackendError, ConfigError, ModelError, TrtconvError
from trtconv.manifest import Manifest, first_manifest_path, manifest_path, read_manifest


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine that was written with its manifest."""
    path = tmp_path / "m.engine"
    write(path, OLD)
    return path


def test_a_pair_is_written_and_nothing_else(engine: Path) -> None:
    require_pair(engine, OLD)
    write(engine, NEW)
    require_pair(engine, NEW)
    require_tidy(engine.parent)


# Company. -------------------------------------------------------------------------------------------------------------


def test_two_writers_of_one_output_leave_a_pair(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stands at each of its renames while the other one goes on."""
    replace, turn = os.replace, threading.Barrier(2)

    def slow(source: Path, target: Path) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            turn.wait(0.05)
        replace(source, target)

    monkeypatch.setattr(os, "replace", slow)
    for _ in range(5):
        threads = [threading.Thread(target=write, args=(engine, data)) for data in (NEW, OTHER)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        require_pair(engine, NEW, OTHER)
        require_tidy(engine.parent)


def test_the_parts_of_a_live_process_stay(engine: Path) -> None:
    with parts.written(engine, lambda file: None) as part:
        other = engine.with_name(".m.engine.0123abcd.part")
        other.write_bytes(b"of a dead process")
        foreign = engine.with_name(".m.engine.notes.part")
        foreign.write_bytes(b"nobody's")
        write(engine, NEW)
        assert part.path.exists()
        assert not other.exists()
        assert foreign.exists()
    assert not part.path.exists()


def test_a_part_that_is_removed_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, removed = fcntl.flock, []

    def late(file: BinaryIO, operation: int) -> None:
        if not removed:
            removed.extend(os.listdir(tmp_path))
            parts.remove_abandoned(tmp_path, "m")
        flock(file, operation)

    monkeypatch.setattr(parts, "_lock", late)
    with parts.written(tmp_path / "m", lambda file: None) as part:
        assert [part.path.name] == os.listdir(tmp_path) != removed
        part.take_name()
    assert os.listdir(tmp_path) == ["m"]


# Failures. ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_disk_that_fails_at_any_call_leaves_a_pair(
    engine: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    original = getattr(os, function)
    for failing in range(1, 20):
        write(engine, OLD)
        calls = []

        def fail(*args: object) -> object:
            calls.append(args)  # noqa: B023
            if len(calls) == failing:  # noqa: B023
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*args)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with contextlib.suppress(TrtconvError):
                write(engine, NEW)
        require_pair(engine, OLD, NEW)
        if len(calls) < failing:
            break
    assert failing > 3


def test_a_full_disk_leaves_the_old_pair(engine: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises((ConfigError, BackendError), match="File too large"):
            write(engine, b"vtrt" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    require_pair(engine, OLD)
    require_tidy(engine.parent)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_leaves_the_old_pair(engine: Path) -> None:
    engine.parent.chmod(0o555)
    try:
        with pytest.raises(ConfigError, match="Permission denied"):
            write(engine, NEW)
    finally:
        engine.parent.chmod(0o755)
    require_pair(engine, OLD)


# Readers. -------------------------------------------------------------------------------------------------------------


def test_a_manifest_of_another_engine_is_refused_and_taken_on_trust(engine: Path) -> None:
    engine.write_bytes(NEW)
    with pytest.raises(ModelError, match=r"does not fit its manifest \(sha256 [0-9a-f]{12} there") as caught:
        read_manifest(engine)
    assert caught.value.where == str(engine)
    found = read_manifest(engine, trust=True)
    assert found is not None
    assert found.created == OLD.decode()


def test_the_manifest_that_fits_is_read_under_either_name(engine: Path) -> None:
    first = first_manifest_path(engine, hashlib.sha256(OLD).hexdigest())
    manifest_path(engine).rename(first)
    require_pair(engine, OLD)
    manifest_path(engine).write_text("damaged")
    require_pair(engine, OLD)


def test_a_manifest_without_a_hash_is_taken(engine: Path) -> None:
    """As programs of one's own may write them."""
    manifest_path(engine).write_text(json.dumps({"trtconv": "0.1.0"}))
    assert read_manifest(engine) == Manifest(trtconv="0.1.0")


def test_an_engine_whose_name_looks_like_the_name_of_a_first_manifest_keeps_its_own(engine: Path) -> None:
    digits = hashlib.sha256(OLD).hexdigest()[:12]
    other = engine.with_name(f"m.engine.{digits}")
    write(other, OTHER)
    write(engine, NEW)
    require_pair(other, OTHER)
    require_pair(engine, NEW)


def test_a_long_name_has_a_pair_too(tmp_path: Path) -> None:
    engine = tmp_path / ("ü" * 125)
    write(engine, NEW)
    require_pair(engine, NEW)
    assert len(os.fsencode(first_manifest_path(engine, "0" * 64).name)) <= 255


def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    for name in ("m.engine", "m.engine.json"):
        (tmp_path / name).symlink_to(tmp_path / "store" / name)
    write(tmp_path / "m.engine", NEW)
    require_pair(tmp_path / "m.engine", NEW)
    require_tidy(tmp_path / "store")
    assert manifest.manifest_path(tmp_path / "m.engine").is_symlink()
