"""What native libraries print is caught, and the streams are as before."""

from __future__ import annotations

import os
import sys

import pytest

from trtconv.native_output import kept_off_the_streams


def test_lines_are_caught_below_python(capfd: pytest.CaptureFixture[str]) -> None:
    print("before", flush=True)
    with kept_off_the_streams() as lines:
        os.write(1, b"to standard output\n\n")
        os.write(2, b"to standard \xff error\n")
        assert lines == []
    print("after", file=sys.stderr, flush=True)
    assert lines == ["to standard output", "to standard \ufffd error"]
    assert capfd.readouterr() == ("before\n", "after\n")


def test_an_exception_restores_the_streams(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with kept_off_the_streams():
            os.write(2, b"lost\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    os.write(2, b"seen\n")
    assert capfd.readouterr() == ("", "seen\n")


def test_they_may_be_nested(capfd: pytest.CaptureFixture[str]) -> None:
    with kept_off_the_streams() as outer:
        with kept_off_the_streams() as inner:
            os.write(1, b"inner\n")
        os.write(1, b"outer\n")
    assert (inner, outer) == (["inner"], ["outer"])
    assert capfd.readouterr() == ("", "")


def test_a_closed_stream_stays_closed() -> None:
    saved = os.dup(1)
    os.close(1)
    try:
        with kept_off_the_streams():
            pass
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(1)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
