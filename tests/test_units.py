"""Sizes and times as people write them."""

from __future__ import annotations

import pytest

from trtconv.errors import ConfigError
from trtconv.units import format_seconds, parse_seconds, parse_size


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("512", 512 << 20),
        ("512MiB", 512 << 20),
        ("2GiB", 2 << 30),
        ("2 gib", 2 << 30),
        ("1.5G", 3 << 29),
        ("64M", 64 << 20),
        ("8K", 8 << 10),
        ("100B", 100),
        ("1MB", 10**6),
        ("2GB", 2 * 10**9),
        ("0.5", 1 << 19),
    ],
)
def test_sizes(text: str, num_bytes: int) -> None:
    assert parse_size(text, "--workspace") == num_bytes


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 TiBs", "1e3", "1,5GiB", "0x10", "9" * 400, "nan", "inf"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a size such as 512MiB"):
        parse_size(text, "--workspace")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("0.5 s", 0.5), ("30m", 1800), ("30min", 1800), ("2h", 7200)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds(text, "--limit-time") == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "2d", "1e3", "inf", "1:30"])
def test_bad_times(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a time such as 90s") as caught:
        parse_seconds(text, "--limit-time")
    assert caught.value.where == "--limit-time"


@pytest.mark.parametrize(("seconds", "text"), [(0.5, "0.5 s"), (90, "90 s"), (120, "2 min"), (7200, "2 h")])
def test_times_in_words(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
