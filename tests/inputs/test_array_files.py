"""Files of arrays: nothing is unpacked before its name, shape, type and size are known to fit."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.command_line import run_here, write_model
from trtconv.errors import ConfigError
from trtconv.inputs import array_files
from trtconv.inputs.array_files import npz_bytes
from trtconv.inputs.input_files import read_inputs
from trtconv.inputs.made_inputs import InputSpec

MANY = 32 << 20  # zeros, a few kilobytes when they are packed


def spec(*dims: int | str | None, name: str = "x", dtype: str = "float32") -> InputSpec:
    return InputSpec(name, np.dtype(dtype), dims)


@contextmanager
def no_more_memory_than(num_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < num_bytes
    finally:
        tracemalloc.stop()


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": descr, "fortran_order": False, "shape": shape})
    return data.getvalue()


def write_npz(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return path


def save(path: Path, array: Any) -> Path:
    (np.save if path.suffix == ".npy" else lambda p, a: np.savez_compressed(p, x=a))(path, array)
    return path


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_an_array_of_another_shape_is_not_unpacked(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, np.zeros(MANY, np.uint8))
    with no_more_memory_than(MANY // 4), pytest.raises(ConfigError, match=f"x is {MANY}, expected 3") as caught:
        read_inputs([path], [spec(3)])
    assert caught.value.where == f"--inputs {path}"


def test_arrays_that_nobody_wants_are_not_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.ones(3, np.float32), more=np.zeros(MANY, np.uint8))
    with no_more_memory_than(MANY // 4):
        (made,) = read_inputs([tmp_path / "a.npz"], [spec(3)])
    assert made.feed["x"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_an_array_beyond_the_limit_is_not_unpacked(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "MAX_SET_BYTES", 1 << 20)
    path = save(tmp_path / name, np.zeros(MANY, np.uint8))
    with no_more_memory_than(MANY // 4), pytest.raises(ConfigError, match="that the arrays of an input set may take"):
        read_inputs([path], [spec("N", dtype="uint8")])
    save(path, np.zeros(1 << 20, np.uint8))
    assert read_inputs([path], [spec("N", dtype="uint8")])[0].feed["x"].size == 1 << 20
    with pytest.raises(ConfigError, match=r"takes 4194304 bytes"):  # as the floats that they become
        read_inputs([path], [spec("N")])


def test_the_limit_is_one_of_all_arrays_of_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "MAX_SET_BYTES", 100)
    np.savez(tmp_path / "a.npz", a=np.zeros(15, np.float32), b=np.zeros(15, np.float32))
    both = [spec("N", name="a"), spec("N", name="b")]
    with pytest.raises(ConfigError, match="b takes 60 bytes"):
        read_inputs([tmp_path / "a.npz"], both)
    assert read_inputs([tmp_path / "a.npz"], both[1:])


def test_the_limit_holds_for_the_shapes_of_a_header_alone(tmp_path: Path) -> None:
    """A file of a hundred bytes may claim anything."""
    for shape in ((1 << 40,), (1 << 62, 1 << 62), (3, 1 << 33)):
        dims = tuple("N" * (axis + 1) for axis in range(len(shape)))
        (tmp_path / "a.npy").write_bytes(header(shape))
        with pytest.raises(ConfigError, match="more than the 2 GiB that the arrays of an input set may take"):
            read_inputs([tmp_path / "a.npy"], [spec(*dims)])
        with pytest.raises(ConfigError, match="more than the 2 GiB"):
            read_inputs([write_npz(tmp_path / "a.npz", x=header(shape))], [spec(*dims)])


def test_data_that_are_shorter_than_their_header_says(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(header((4,)) + bytes(15))
    with pytest.raises(ConfigError, match=r"x has 15 bytes of data, its header asks for 16"):
        read_inputs([tmp_path / "a.npy"], [spec(4)])
    with pytest.raises(ConfigError, match=r"x has 15 bytes of data, its header asks for 16"):
        read_inputs([write_npz(tmp_path / "a.npz", x=header((4,)) + bytes(15))], [spec(4)])


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize(
    ("array", "what"),
    [(np.array([None]), "holds Python objects"), (np.zeros(1, [("a", "f4"), ("\N{DESERT}", "f4")]), "version 3.0")],
)
def test_what_numpy_alone_can_hold_is_refused(tmp_path: Path, suffix: str, array: Any, what: str) -> None:
    path = tmp_path / f"a{suffix}"
    (np.save if suffix == ".npy" else lambda p, a, **_: np.savez(p, x=a))(path, array, allow_pickle=True)
    with pytest.raises(ConfigError, match=what):
        read_inputs([path], [spec(1)])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<i2", "|u1"])
@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_what_fits_is_read_as_numpy_reads_it(tmp_path: Path, name: str, dtype: str, order: Any) -> None:
    values = np.asarray(np.arange(24).reshape(2, 3, 4), dtype, order=order)
    path = save(tmp_path / name, values)
    (made,) = read_inputs([path], [spec(2, "N", 4)])
    assert made.feed["x"].dtype == np.float32
    assert np.array_equal(made.feed["x"], values)


def test_a_missing_array_does_not_list_thousands(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for index in range(3000):
            archive.writestr(f"w{index}{'long' * 100}.npy", b"")
    with pytest.raises(ConfigError, match=r"has no array for x; it holds w0long.*\.\.\. and 2,995 more") as caught:
        read_inputs([tmp_path / "a.npz"], [spec(3)])
    assert len(caught.value.what) < 600


def test_a_missing_input_does_not_list_thousands(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", y=np.zeros(1))
    specs = [spec(1, name=f"input{index}") for index in range(1000)]
    with pytest.raises(ConfigError, match=r"has no array for input0, input1, input2, input3, input4 and 995 more; it"):
        read_inputs([tmp_path / "a.npz"], specs)
    np.save(tmp_path / "a.npy", np.zeros(1))
    with pytest.raises(ConfigError, match=r"the model has 1000 inputs: input0, .* and 995 more"):
        read_inputs([tmp_path / "a.npy"], specs)


def test_a_directory_of_any_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "_MAX_DIRECTORY_BYTES", 1 << 16)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for index in range(2000):
            archive.writestr(f"w{index}.npy", b"")
    with pytest.raises(ConfigError, match="that has to be read at once"):
        read_inputs([tmp_path / "a.npz"], [spec(3)])


def locked(path: Path) -> None:
    """Mark the one entry of a zip file as encrypted, in both places."""
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\3\4") + 6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)


def unknown_packing(path: Path) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\3\4") + 8, 99)
    struct.pack_into("<H", data, data.index(b"PK\1\2") + 10, 99)
    path.write_bytes(data)


def wrong_checksum(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 16] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [locked, unknown_packing, wrong_checksum])
def test_what_zipfile_refuses_is_an_error_of_the_file(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(1000, np.float32))
    damage(tmp_path / "a.npz")
    with pytest.raises(ConfigError, match=r"is not an \.npz file of arrays") as caught:
        read_inputs([tmp_path / "a.npz"], [spec(1000)])
    assert caught.value.where == f"--inputs {tmp_path / 'a.npz'}"


def test_a_huge_file_is_refused_by_the_command(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    (tmp_path / "a.npy").write_bytes(header((1, 3, 8, 8)))
    os.truncate(tmp_path / "a.npy", 1 << 40)
    command = ("build", "static.onnx", "--dry-run", "--precision", "fp16", "--calibration", "a.npy")
    result = run_here(*command, cwd=tmp_path)
    assert (result.exit_code, "is larger than 16 GiB, the limit for files of arrays" in result.error) == (2, True)


def test_an_image_is_opened_as_the_kinds_that_are_named(tmp_path: Path) -> None:
    """Pillow would hand PostScript to another program, whatever the name of the file."""
    pytest.importorskip("PIL")
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(ConfigError, match=r"is not an image that can be read \(BMP, "):
        read_inputs([tmp_path / "a.png"], [spec(1, 3, 8, 8)])


@pytest.mark.parametrize("name", ["x" * 65532, "x\0y"], ids=["long", "null character"])
def test_a_name_that_no_npz_file_holds_is_refused(name: str) -> None:
    """Python's zipfile raises for the first, and cuts the second, so that two names become one."""
    with pytest.raises(ConfigError, match=r"an .npz file cannot hold an array called x"):
        npz_bytes({name: np.zeros(1)})
    longest = "x" * 65531
    assert list(np.load(io.BytesIO(npz_bytes({longest: np.zeros(1)})))) == [longest]
