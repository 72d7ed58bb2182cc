"""The timing cache file against a stand-in for TensorRT's builder configuration."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from trtconv.engine.timing_cache import save_timing_cache, use_timing_cache

MARK = b"cache:"


class Cache:
    """Entries behind a mark; `gpu` stands for the device that the entries were measured on."""

    def __init__(self, entries: set[str], gpu: str) -> None:
        self.entries, self.gpu = entries, gpu

    def serialize(self) -> bytes:
        return MARK + ",".join([self.gpu, *sorted(self.entries)]).encode()

    def combine(self, other: Cache, ignore_mismatch: bool) -> bool:
        if other.gpu != self.gpu and not ignore_mismatch:
            return False
        self.entries |= other.entries
        return True


class Config:
    """What timing_cache uses of IBuilderConfig; unreadable data gives an empty cache, as TensorRT 10.6 does."""

    def __init__(self, gpu: str = "h100") -> None:
        self.gpu = gpu
        self.cache: Cache | None = None

    def create_timing_cache(self, data: bytes) -> Cache:
        if not data.startswith(MARK):
            return Cache(set(), self.gpu)
        gpu, *entries = data.removeprefix(MARK).decode().split(",")
        return Cache(set(entries), gpu)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        if cache.gpu != self.gpu:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.cache


def build(path: Path, entry: str, gpu: str = "h100") -> tuple[set[str], list[str]]:
    """Return what a build found in the cache, and its notes; it adds one entry."""
    config, notes = Config(gpu), []  # type: ignore[var-annotated]
    use_timing_cache(config, path, notes)
    assert config.cache is not None
    found = set(config.cache.entries)
    config.cache.entries.add(entry)
    save_timing_cache(config, path, notes)
    return found, notes


def test_the_next_build_finds_what_the_last_one_measured(tmp_path: Path) -> None:
    path = tmp_path / "timing.cache"
    assert build(path, "a") == (set(), [])
    assert build(path, "b") == ({"a"}, [])
    assert build(path, "c") == ({"a", "b"}, [])


@pytest.mark.parametrize("content", [b"x" * 1000, MARK[:3] * 20])
def test_a_damaged_cache_is_told_and_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "timing.cache"
    path.write_bytes(content)
    found, notes = build(path, "a")
    assert found == set()
    assert "damaged" in notes[0]
    assert build(path, "b") == ({"a"}, [])


def test_a_cache_of_another_gpu_is_told_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "timing.cache"
    build(path, "a", gpu="a100")
    found, notes = build(path, "b", gpu="h100")
    assert found == set()
    assert "another GPU" in notes[0]
    assert build(path, "c", gpu="h100") == ({"b"}, [])


def test_builds_side_by_side_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "timing.cache"
    configs = [Config() for _ in range(8)]
    for index, config in enumerate(configs):
        use_timing_cache(config, path, [])
        assert config.cache is not None
        config.cache.entries.add(f"entry{index}")
    threads = [threading.Thread(target=save_timing_cache, args=(config, path, [])) for config in configs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert build(path, "last")[0] == {f"entry{index}" for index in range(8)}


def test_a_cache_that_cannot_be_written_costs_a_note_and_no_engine(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "timing.cache"
    found, notes = build(path, "a")
    assert found == set()
    assert "was not written" in notes[0]
