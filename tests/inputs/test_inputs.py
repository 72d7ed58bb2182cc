"""Input sets: made ones fit the model and are seeded, those of users are read or refused by name."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image

from tests.support.command_line import OPSET_17
from trtconv.errors import ConfigError
from trtconv.inputs.images import ImageOptions, ImageRange
from trtconv.inputs.input_files import read_calibration, read_inputs
from trtconv.inputs.made_inputs import (
    ADVERSARIAL,
    InputSet,
    InputSpec,
    input_specs,
    make_feeds,
    make_inputs,
    shape_choices,
)
from trtconv.shapes import parse_profiles

IMAGE = InputSpec("image", np.dtype(np.float32), (2, 3, 40, 60))


def model(inputs: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{OPSET_17} g ({inputs}) => (float[1] y) {{ y = Constant<value_floats=[1.0]>() }}")


def make(inputs: str, *shapes: str | None, **options: Any) -> list[InputSet]:
    proto = model(inputs)
    all_shapes = options.pop("all_shapes", False)
    return make_inputs(input_specs(proto), shape_choices(proto, parse_profiles(shapes), all_shapes), **options)


def test_random_inputs_have_the_types_of_the_model() -> None:
    (made,) = make("float16[4,5] a, int64[3] b, bool[8] c, uint8[2,2] d, double e")
    dtypes = {name: values.dtype.name for name, values in made.feed.items()}
    assert dtypes == {"a": "float16", "b": "int64", "c": "bool", "d": "uint8", "e": "float64"}
    assert made.feed["a"].shape == (4, 5)
    assert np.abs(made.feed["a"]).max() <= 1


def test_each_profile_gets_its_sets_and_all_shapes_its_ends() -> None:
    profiles = ("x=1x2:1x4:3x8", None, "x=5x5")
    labels = [(made.label, made.feed["x"].shape) for made in make("float[N,M] x", *profiles)]
    assert labels == [("random 1, profile 1", (1, 4)), ("random 1, profile 2", (5, 5))]
    everything = make("float[N,M] x", *profiles, all_shapes=True, num_sets=2)
    assert [made.feed["x"].shape for made in everything] == [*[(1, 4)] * 2, *[(1, 2)] * 2, *[(3, 8)] * 2, *[(5, 5)] * 2]
    assert everything[2].label == "random 1, profile 1 min shapes"
    assert len({made.label for made in everything}) == len(everything)


def test_the_values_of_a_shape_tensor_are_those_given() -> None:
    made = make("float[3] x, int64[2] sizes", "sizes=[1,2]:[3,4]:[5,6]", all_shapes=True)
    assert [each.feed["sizes"].tolist() for each in made] == [[3, 4], [1, 2], [5, 6]]
    assert made[0].feed["sizes"].dtype == np.int64
    (scalar,) = make("int64 n", "n=[7]")
    assert scalar.feed["n"].shape == ()
    assert scalar.feed["n"] == 7
    with pytest.raises(ConfigError, match="--shape sizes: 3 values, expected 2"):
        make("int64[2] sizes", "sizes=[1,2,3]")


def test_adversarial_inputs_are_what_they_say() -> None:
    sets = {made.label: made.feed for made in make("float[2,3,50,50] x, float16[2,3,50,50] h", generator="adversarial")}
    assert list(sets) == list(ADVERSARIAL)
    assert abs(sets["large mean"]["x"].mean() - 1e4) < 1
    assert abs(sets["large mean"]["x"].std() - 1) < 0.1
    assert abs(sets["large mean"]["h"].astype(float).std() - 30) < 2
    assert np.ptp(sets["constant channels"]["x"], axis=(2, 3)).max() == 0
    assert len(np.unique(sets["constant channels"]["x"])) == 6
    assert set(np.unique(sets["+-512"]["h"])) == {-512, 512}
    assert np.isfinite(np.square(sets["extremes"]["x"])).all()
    assert np.abs(sets["extremes"]["x"]).min() == np.float32(1e18)
    assert np.abs(sets["extremes"]["h"]).min() == np.float16(6e4)
    num_spikes = np.count_nonzero(sets["sparse spikes"]["x"])
    assert 1 <= num_spikes <= 15
    narrow = {made.label: made.feed for made in make("float[9] x", generator="adversarial", narrow=True)}
    assert np.isfinite(narrow["extremes"]["x"].astype(np.float16)).all()


def test_adversarial_inputs_are_seeded_and_serve_every_rank() -> None:
    for inputs in ("float x", "float[0] x", "float[1] x", "float[2,3] x", "float[1,2,3,4,5] x"):
        first, again, other = (make(inputs, generator="adversarial", seed=seed) for seed in (1, 1, 2))
        assert all(one.feed["x"].tobytes() == two.feed["x"].tobytes() for one, two in zip(first, again, strict=True))
        if first[0].feed["x"].size:
            assert first[0].feed["x"].tobytes() != other[0].feed["x"].tobytes()


def test_whole_numbers_stay_indices_but_bytes_are_pixels() -> None:
    sets = {made.label: made.feed for made in make("int64[99] i, uint8[99] u", generator="adversarial")}
    assert set(np.unique(sets["extremes"]["i"])) == {0, 1}
    assert set(np.unique(sets["extremes"]["u"])) == {0, 255}


def test_no_values_are_made_up_for_text() -> None:
    with pytest.raises(ConfigError, match="input s is of type string, for which no values"):
        make("string[3] s")


# Files. -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A red picture with a green right half, a grey one, and something that is no picture."""
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :15, 0] = pixels[:, 15:, 1] = 255
    Image.fromarray(pixels).save(folder / "b.png")
    Image.fromarray(np.full((10, 10), 51, np.uint8)).save(folder / "a.PNG")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_images_become_batches_of_the_inputs_size(photos: Path) -> None:
    grey, colours = read_inputs([photos], [IMAGE], {})
    assert [Path(made.label).name for made in (grey, colours)] == ["a.PNG", "b.png"]
    values = colours.feed["image"]
    assert (values.shape, values.dtype) == ((2, 3, 40, 60), np.float32)
    assert values[1, :, 20, 5].tolist() == [1, 0, 0]
    assert values[0, :, 20, 55].tolist() == [0, 1, 0]
    assert np.allclose(grey.feed["image"], 0.2)


def test_the_range_of_an_image_is_the_users(photos: Path) -> None:
    grey = read_inputs([photos], [IMAGE], {}, ImageOptions(ImageRange.parse("-1:1")))[0].feed["image"]
    assert np.allclose(grey, -0.6)
    assert read_inputs([photos], [IMAGE], {}, ImageOptions(ImageRange.parse("0:255")))[1].feed["image"].max() == 255


def test_channels_last_bytes_and_grey(photos: Path) -> None:
    last = InputSpec("image", np.dtype(np.uint8), (1, 8, 6, 3))
    values = read_inputs([photos], [last], {})[1].feed["image"]
    assert (values.shape, values.dtype) == ((1, 8, 6, 3), np.uint8)
    assert values[0, 4, 0].tolist() == [255, 0, 0]
    single = InputSpec("image", np.dtype(np.float32), ("N", 1, "H", "W"))
    values = read_inputs([photos], [single], {"image": (1, 1, 5, 7)})[0].feed["image"]
    assert values.shape == (1, 1, 5, 7)
    assert np.allclose(values, 0.2)


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        ([InputSpec("i", np.dtype(np.int64), (1, 3, 8, 8))], "images feed float and uint8 inputs"),
        ([InputSpec("i", np.dtype(np.float32), (3, 8, 8))], "with 1 or 3 channels"),
        ([InputSpec("i", np.dtype(np.float32), (1, 4, 8, 8))], "with 1 or 3 channels"),
        ([InputSpec("i", np.dtype(np.float32), (1, 3, "H", 8))], "what size are the images to have"),
        ([IMAGE, InputSpec("other", np.dtype(np.float32), (1,))], "images feed a model with one input"),
    ],
)
def test_inputs_that_images_do_not_feed(photos: Path, specs: list[InputSpec], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_inputs([photos], specs, {})


def test_an_image_by_itself_is_an_input_set(photos: Path) -> None:
    alone = read_inputs([photos / "b.png"], [IMAGE])
    in_folder = read_inputs([photos], [IMAGE])[1:]
    assert [made.label for made in alone] == [made.label for made in in_folder]
    assert np.array_equal(alone[0].feed["image"], in_folder[0].feed["image"])
    with pytest.raises(ConfigError, match=r"no\.png: no such file"):
        read_inputs([photos / "no.png"], [IMAGE])


def test_a_folder_that_is_named_like_an_image_is_none(photos: Path) -> None:
    (photos / "more.png").mkdir()
    assert len(read_inputs([photos], [IMAGE])) == 2


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_pixels_that_eight_bits_do_not_hold_are_refused(tmp_path: Path, dtype: Any) -> None:
    """Pillow makes 255 of all beyond, and 0 of floats below 1: a picture that is white or black."""
    path = tmp_path / "deep.tif"
    Image.fromarray((np.arange(12).reshape(3, 4) * 500).astype(dtype)).save(path)
    with pytest.raises(ConfigError, match="more than the 8 bits of a byte"):
        read_inputs([path], [IMAGE])


@pytest.mark.parametrize("text", ["5", "0:1:2", "nan:1", "0:inf", ":", ""])
def test_a_range_is_two_numbers(text: str) -> None:
    with pytest.raises(ConfigError, match="expected what black and white become"):
        ImageRange.parse(text)


def test_a_folder_without_images_and_a_damaged_one(photos: Path, tmp_path: Path) -> None:
    (photos / "c.png").write_bytes((photos / "b.png").read_bytes()[:60])
    with pytest.raises(ConfigError, match=r"c\.png: cannot be read as an image"):
        read_inputs([photos], [IMAGE], {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no images"):
        read_inputs([tmp_path / "empty"], [IMAGE], {})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 3, 40)), "image is 2x3x40, expected 2x3x40x60"),
        (np.zeros((2, 3, 40, 61)), "image is 2x3x40x61, expected 2x3x40x60"),
        (np.zeros((2, 3, 40, 60), np.bool_), "image is of type bool, expected float32"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, values: Any, said: str) -> None:
    np.savez(tmp_path / "i.npz", image=values)
    with pytest.raises(ConfigError, match=said):
        read_inputs([tmp_path / "i.npz"], [IMAGE], {})


def test_integers_are_cast_only_where_nothing_is_lost(tmp_path: Path) -> None:
    spec = InputSpec("i", np.dtype(np.int32), (2,))
    np.save(tmp_path / "i.npy", np.array([1, -5]))
    (made,) = read_inputs([tmp_path / "i.npy"], [spec], {})
    assert made.feed["i"].dtype == np.int32
    np.save(tmp_path / "i.npy", np.array([1, 1 << 40]))
    with pytest.raises(ConfigError, match="of type int64, expected int32"):
        read_inputs([tmp_path / "i.npy"], [spec], {})


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    for name in ("i.npy", "i.npz"):
        with pytest.raises(ConfigError, match="no such file"):
            read_inputs([tmp_path / name], [IMAGE], {})
        (tmp_path / name).write_bytes(b"\x93NUMPY damaged")
        with pytest.raises(ConfigError, match=r"is not an \.np[yz] file"):
            read_inputs([tmp_path / name], [IMAGE], {})
    np.savez(tmp_path / "i.npz", other=np.zeros(3))
    with pytest.raises(ConfigError, match="has no array for image; it holds other"):
        read_inputs([tmp_path / "i.npz"], [IMAGE], {})


def test_a_file_that_is_damaged_anywhere_is_an_error_of_the_file(tmp_path: Path) -> None:
    """What numpy, zipfile and zlib raise for it is of a dozen kinds."""
    values = np.random.default_rng(0).random((2, 3, 4, 6), np.float32)
    spec = InputSpec("image", values.dtype, values.shape)
    np.save(tmp_path / "plain.npy", values)
    np.savez(tmp_path / "stored.npz", image=values)
    np.savez_compressed(tmp_path / "packed.npz", image=values)
    rng = random.Random(0)
    for path in sorted(tmp_path.iterdir()):
        whole, num_refused = path.read_bytes(), 0
        for _ in range(300):
            damaged = bytearray(whole)
            damaged[rng.randrange(min(len(whole), 300))] = rng.randrange(256)
            path.write_bytes(damaged)
            try:
                read_inputs([path], [spec])
            except ConfigError as error:
                num_refused += error.where == f"--inputs {path}"
        assert num_refused > 30, path


# Calibration. ---------------------------------------------------------------------------------------------------------


def calibrate(path: Path, inputs: str, *shapes: str) -> list[InputSet]:
    return read_calibration([path], model(inputs), parse_profiles(shapes))


def test_a_calibration_is_cast_as_inputs_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "i.npz", x=np.full((2, 3), 0.25), i=np.array([3, 4], np.uint8), more=np.zeros(1))
    (made,) = calibrate(tmp_path / "i.npz", "float[2,3] x, int64[2] i")
    assert {name: values.dtype.name for name, values in made.feed.items()} == {"x": "float32", "i": "int64"}
    np.save(tmp_path / "i.npy", np.full((2, 3), 7, np.uint8))
    (made,) = calibrate(tmp_path / "i.npy", "float[2,3] x")
    assert made.feed["x"].dtype == np.float32
    assert made.feed["x"][0, 0] == 7


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((1, 16, 16, 4)), "x is 1x16x16x4, expected 1x4x16x16"),
        (np.zeros((1, 4, 16)), "x is 1x4x16, expected 1x4x16x16"),
        (np.zeros((1, 4, 16, 16), np.complex64), "x is of type complex64, expected float32"),
        (np.where(np.arange(1024).reshape(1, 4, 16, 16) < 3, np.nan, 1), "x holds NaN, in 3 of 1024 values"),
        (np.where(np.arange(1024).reshape(1, 4, 16, 16) < 3, -np.inf, 1), "x holds inf, in 3 of 1024 values"),
        (np.full((1, 4, 16, 16), 1e300), "x holds inf, in 1024 of 1024 values"),
    ],
)
def test_a_calibration_that_does_not_fit_names_file_and_input(tmp_path: Path, values: Any, said: str) -> None:
    np.savez(tmp_path / "i.npz", x=values)
    with pytest.raises(ConfigError) as caught:
        calibrate(tmp_path / "i.npz", "float[1,4,16,16] x")
    assert said in caught.value.what
    assert caught.value.where == f"--calibration {tmp_path / 'i.npz'}"


def test_images_are_calibrated_with_in_both_ranges(photos: Path) -> None:
    sets = calibrate(photos, "float[N,3,H,W] x", "x=1x3x8x8:1x3x10x10:1x3x16x16")
    assert [(Path(made.label.split(",")[0]).name, float(made.feed["x"].max())) for made in sets] == [
        ("a.PNG", np.float32(0.2)),
        ("b.png", 1),
        ("a.PNG", 51),
        ("b.png", 255),
    ]
    assert sets[2].label.endswith("a.PNG, 0 to 255")
    assert {made.feed["x"].shape for made in sets} == {(1, 3, 10, 10)}


def test_values_of_shape_tensors_come_from_the_command_line_where_the_file_has_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "i.npz", x=np.zeros((1, 2)))
    (made,) = calibrate(tmp_path / "i.npz", "float[1,2] x, int64[2] size", "size=[1,2]:[3,4]:[5,6]")
    assert made.feed["size"].tolist() == [3, 4]
    np.savez(tmp_path / "i.npz", x=np.zeros((1, 2)), size=np.array([5, 5]))
    (made,) = calibrate(tmp_path / "i.npz", "float[1,2] x, int64[2] size", "size=[1,2]:[3,4]:[5,6]")
    assert made.feed["size"].tolist() == [5, 5]


def test_a_calibration_without_data_uses_the_values_of_shape_tensors() -> None:
    proto = model("float[1,4,8,8] x, int64[4] size")
    feeds = make_feeds(proto, {}, values={"size": (1, 4, 22, 22)})
    assert [feed["size"].tolist() for feed in feeds] == [[1, 4, 22, 22]] * 3
    assert {feed["x"].shape for feed in feeds} == {(1, 4, 8, 8)}


def test_a_calibration_makes_do_without_text() -> None:
    feeds = make_feeds(model("float[1,2] x, string[3] s"))
    assert [feed["s"].tolist() for feed in feeds] == [["", "", ""]] * 3


def test_text_is_read_and_other_types_are_not_made_text(tmp_path: Path) -> None:
    spec = InputSpec("s", np.dtype(object), (2,))
    np.savez(tmp_path / "i.npz", s=np.array(["a", "bc"]))
    (made,) = read_inputs([tmp_path / "i.npz"], [spec])
    assert made.feed["s"].dtype == object
    assert made.feed["s"].tolist() == ["a", "bc"]
    np.savez(tmp_path / "i.npz", s=np.zeros(2))
    with pytest.raises(ConfigError, match="s is of type float64, expected string"):
        read_inputs([tmp_path / "i.npz"], [spec])
