"""`trtconv run`: a photo in, a photo out; arrays in, arrays out; and what it says of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import contents, run_here
from tests.support.image_models import write_negative, write_photo
from trtconv.errors import ConfigError
from trtconv.inputs.images import ImageRange
from trtconv.run import RunConfig, run


def test_a_photo_becomes_a_photo_of_its_own_size(tmp_path: Path) -> None:
    model, pixels = write_negative(tmp_path), write_photo(tmp_path / "photo.png")
    result = run_here("run", model, tmp_path / "photo.png", "-o", tmp_path / "out.png", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), 255 - pixels)
    assert "pixels of the input are 0..255: the model divides its input by 255" in result.stdout
    assert "out.png" in result.stdout


def test_what_is_asked_for_comes_before_what_the_model_shows(tmp_path: Path) -> None:
    model, pixels = write_negative(tmp_path), write_photo(tmp_path / "photo.png")
    config = RunConfig(tmp_path / "out.png", ImageRange(255, 0), ImageRange(255, 0))
    report = run(model, [tmp_path / "photo.png"], config)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), 255 - pixels)
    assert all("as asked for" in note for note in report.notes)


def test_a_model_that_gives_bytes_takes_bytes(tmp_path: Path) -> None:
    model = write_negative(tmp_path, body="r = Relu(image) y = Sum(r, white)")
    write_photo(tmp_path / "photo.png")
    report = run(model, [tmp_path / "photo.png"])
    assert report.notes[0] == "pixels of the input are 0..255: the model does not show it, and gives such pixels"
    assert report.runs[0].outputs[0].max == 255 + 179


@pytest.mark.parametrize("dims", ["1,h,w,3", "n,h,w,3", "1,6,10,3"])
def test_channels_may_come_last(dims: str, tmp_path: Path) -> None:
    model, pixels = write_negative(tmp_path, dims), write_photo(tmp_path / "photo.png")
    run(model, [tmp_path / "photo.png"], RunConfig(tmp_path / "out.bmp"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.bmp")), 255 - pixels)


def test_sizes_that_say_nothing_take_the_layout_that_is_named(tmp_path: Path) -> None:
    model, pixels = write_negative(tmp_path, "n,a,b,c"), write_photo(tmp_path / "photo.png")
    run(model, [tmp_path / "photo.png"], RunConfig(tmp_path / "out.png", order="nhwc"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), 255 - pixels)


def test_an_image_gets_the_size_that_is_asked_for(tmp_path: Path) -> None:
    write_photo(tmp_path / "photo.png")
    result = run_here(
        "run", write_negative(tmp_path), tmp_path / "photo.png", "-o", tmp_path / "o.png", "--size", "4x8", cwd=tmp_path
    )
    assert result.exit_code == 0, result.stderr
    assert Image.open(tmp_path / "o.png").size == (8, 4)


def test_a_photo_that_lies_on_its_side_is_turned(tmp_path: Path) -> None:
    model = write_negative(tmp_path)
    image = Image.new("RGB", (10, 6), "white")
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tmp_path / "photo.jpg", exif=exif)
    report = run(model, [tmp_path / "photo.jpg"])
    assert list(report.runs[0].input_shapes["image"]) == [1, 3, 10, 6]


def test_a_folder_gets_a_file_for_each_input(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        write_photo(photos / name)
    np.savez(tmp_path / "c.npz", image=np.zeros((1, 3, 2, 2), np.float32))
    report = run(write_negative(tmp_path), [photos, tmp_path / "c.npz"], RunConfig(tmp_path / "new" / "out"))
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == ["a.png", "b.png", "c.npz"]
    assert np.load(tmp_path / "new" / "out" / "c.npz")["y"].max() == 255
    assert [len(each.outputs[0].written) for each in report.runs] == [1, 1, 1]
    with pytest.raises(ConfigError, match="is one file, and there are 2 inputs"):
        run(write_negative(tmp_path), [photos], RunConfig(tmp_path / "one.png"))


def test_no_input_is_overwritten_and_no_output_twice(tmp_path: Path) -> None:
    model = write_negative(tmp_path)
    photos, others = tmp_path / "photos", tmp_path / "others"
    for photo in (photos / "a.png", photos / "b.png", others / "a.png"):
        photo.parent.mkdir(exist_ok=True)
        write_photo(photo)
    before = contents(photos)
    for inputs, output, what in (
        ([photos], photos, "photos/a.png: .* never overwritten"),
        ([photos / "b.png"], photos, "photos/b.png: .* never overwritten"),
        ([photos, others], tmp_path / "new", "photos/a.png and .*others/a.png would be written to one file"),
    ):
        with pytest.raises(ConfigError, match=what):
            run(model, inputs, RunConfig(output))
    assert contents(photos) == before
    assert contents(tmp_path / "new") == {}


def test_the_images_of_a_batch_take_no_place_of_an_input(tmp_path: Path) -> None:
    model, batch = write_negative(tmp_path, "n,3,h,w"), tmp_path / "x.npy"
    np.save(batch, np.zeros((2, 3, 4, 4), np.float32))
    (tmp_path / "y-1.png").symlink_to(batch)
    with pytest.raises(ConfigError, match=r"y-1.png: .* never overwritten"):
        run(model, [batch], RunConfig(tmp_path / "y.png"))
    assert not (tmp_path / "y-0.png").exists()


def test_arrays_become_arrays(tmp_path: Path) -> None:
    model, x = write_negative(tmp_path), np.full((1, 3, 2, 2), 55, np.float32)
    np.save(tmp_path / "x.npy", x)
    run(model, [tmp_path / "x.npy"], RunConfig(tmp_path / "y.npy"))
    assert np.array_equal(np.load(tmp_path / "y.npy"), 255 - x)


def test_a_batch_is_written_as_images_with_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 4, 4), np.float32))
    report = run(write_negative(tmp_path, "n,3,h,w"), [tmp_path / "x.npy"], RunConfig(tmp_path / "y.png"))
    assert [Path(each).name for each in report.runs[0].outputs[0].written] == ["y-0.png", "y-1.png"]
    assert (tmp_path / "y-1.png").is_file()


def test_json_and_latency(tmp_path: Path) -> None:
    write_photo(tmp_path / "photo.png")
    result = run_here("run", write_negative(tmp_path), tmp_path / "photo.png", "--latency", "--json", cwd=tmp_path)
    document = json.loads(result.stdout)
    (done,) = document["runs"]
    assert (document["kind"], document["runs_on"]) == ("run", "ONNX Runtime on the CPU")
    assert 0 < done["latency"]["low_us"] <= done["latency"]["median_us"] <= done["latency"]["high_us"]
    assert (done["outputs"][0]["shape"], done["outputs"][0]["written"]) == ([1, 3, 6, 10], [])


def test_values_that_are_not_numbers_are_told(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([np.nan, 1, np.inf], np.float32).reshape(1, 3, 1, 1))
    report = run(write_negative(tmp_path), [tmp_path / "x.npy"])
    (output,) = report.runs[0].outputs
    assert (output.num_not_finite, output.min, output.max) == (2, 254, 254)
    assert "2 values of y are NaN or infinite" in report.render(width=400)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "-o", "out.txt"], "out.txt: is not the name of a file that outputs can be written to"),
        (["photo.png", "-o", "photo.png"], "photo.png"),
        (["none.png"], "none.png"),
        (["photo.png", "-o", "no/out.png"], "the folder does not exist"),
        (["photo.png", "-o", "/dev/stdout"], "is not a folder, which a name without a suffix means"),
        (
            ["photo.png", "--size", "999999x999999"],
            "1x3x999999x999999, 11999976000012 bytes: more than the 2 GiB that an input set may take",
        ),
        (["photo.png", "--size", "12"], "expected height and width, such as 720x1280"),
        (["photo.png", "--size", "0x3"], "height and width are 1 or more"),
        (["photo.png", "--output-name", "z"], "there is no output z"),
        (["photo.png", "--output-range", "dark"], "--output-range: got 'dark'"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], message: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    result = run_here("run", write_negative(tmp_path), *arguments, cwd=tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert (tmp_path / "photo.png").read_bytes() == before


def test_an_output_that_is_no_image_is_not_written_as_one(tmp_path: Path) -> None:
    model = write_negative(tmp_path, "n,7,1,1,1", body="y = Neg(image)")
    np.save(tmp_path / "x.npy", np.zeros((2, 7, 1, 1, 1), np.float32))
    with pytest.raises(ConfigError, match=r"no output is an image.*y is \[2, 7, 1, 1, 1\]"):
        run(model, [tmp_path / "x.npy"], RunConfig(tmp_path / "y.png"))
    assert not (tmp_path / "y.png").exists()
