"""`trtconv run` and trtconv.Runner on engines: a photo, arrays, and torch tensors of the GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.support.image_models import write_negative, write_photo
from trtconv import BuildConfig, Runner, ShapeRange, build
from trtconv.run import RunConfig, run

pytestmark = TENSORRT_ON_GPU

SHAPES = ShapeRange((1, 3, 4, 4), (1, 3, 6, 10), (2, 3, 64, 64))


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    config = BuildConfig(output=tmp_path / "negative.engine", profiles=[{"image": SHAPES}], opt_level=0, ops="plugin")
    return build(write_negative(tmp_path, "n,3,h,w"), config).engine


def test_a_photo_goes_through_an_engine(engine: Path, tmp_path: Path) -> None:
    from PIL import Image

    pixels = write_photo(tmp_path / "photo.png")
    report = run(engine, [tmp_path / "photo.png"], RunConfig(tmp_path / "out.png", latency=True))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), 255 - pixels)
    assert report.runs_on.startswith("TensorRT on ")
    assert "the model divides its input by 255" in report.notes[0], "the model is beside the engine"
    assert report.runs[0].latency is not None


def test_arrays_go_through_an_engine_at_several_sizes(engine: Path) -> None:
    runner = Runner(engine)
    for shape in ((1, 3, 4, 4), (2, 3, 64, 5), (1, 3, 6, 10)):
        x = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        assert np.allclose(runner(x), 255 - x, atol=1e-3)


def test_torch_tensors_stay_on_the_gpu(engine: Path) -> None:
    torch = pytest.importorskip("torch")
    runner = Runner(engine)
    side = torch.cuda.Stream()
    for shape in ((1, 3, 8, 8), (2, 3, 5, 7)):
        with torch.cuda.stream(side):
            x = torch.rand(shape, device="cuda") * 255
            y = runner(x)
        side.synchronize()
        assert y.device == x.device
        assert torch.allclose(y, 255 - x, atol=1e-3)
    assert runner(torch.zeros(1, 3, 4, 4)).device.type == "cpu"
    half = runner(torch.zeros(1, 3, 4, 4, device="cuda", dtype=torch.half))
    assert half.float().min() == 255
