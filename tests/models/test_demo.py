"""`make demo`: the tune, what is counted of its notes, the picture, and the lines that it ends with."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models import demo, demo_tune
from models.demo_tune import LOWEST_NOTE, NUM_SAMPLES, SAMPLE_RATE, TUNE

FRAMES = 172


def keys_of(shift: int = 0) -> np.ndarray:
    """What the network gives for the tune when it finds each note `shift` keys too high."""
    notes = np.full((1, FRAMES, 88), 0.1, np.float32)
    for note in TUNE:
        start, end = (int(each * FRAMES * SAMPLE_RATE / NUM_SAMPLES) for each in (note.start, note.end))
        notes[0, start:end, note.key + shift - LOWEST_NOTE] = 0.9
    return notes


def test_the_tune_sounds_as_it_is_written() -> None:
    sound = demo_tune.play()
    assert (sound.shape, sound.dtype, np.abs(sound).max()) == ((1, NUM_SAMPLES, 1), np.float32, pytest.approx(0.4))
    assert [note.name for note in TUNE] == ["E4", "E4", "F4", "G4", "G4", "F4", "E4", "D4"]
    for note in TUNE:
        heard = sound.ravel()[int(note.start * SAMPLE_RATE) : int(note.end * SAMPLE_RATE)]
        spectrum = np.abs(np.fft.rfft(heard, 1 << 16))
        assert spectrum.argmax() * SAMPLE_RATE / (1 << 16) == pytest.approx(note.hertz, rel=0.01)
    assert demo_tune.Note(69, 0, 0).hertz == 440


def test_notes_are_counted_where_they_sound() -> None:
    assert demo_tune.num_found(keys_of()) == len(TUNE) == 8
    assert demo_tune.num_found(keys_of(shift=1)) == 0
    half = keys_of()
    half[:, FRAMES // 2 :] = np.roll(half[:, FRAMES // 2 :], 2, axis=2)
    assert 0 < demo_tune.num_found(half) < 8


def test_the_picture_shows_both_sides() -> None:
    def drawn(notes: np.ndarray) -> np.ndarray:
        content = demo_tune.draw(demo_tune.play(), notes, "8 of 8 notes found")
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)

    right, wrong = drawn(keys_of()), drawn(keys_of(shift=1))
    middle = right.shape[1] // 2
    assert right.shape[1] > 1000
    assert np.array_equal(right[:, :middle], wrong[:, :middle]), "the sound is the same"
    assert not np.array_equal(right[:, middle:], wrong[:, middle:])
    assert len(np.unique(right[:, :middle].reshape(-1, 3), axis=0)) > 100, "nothing is drawn on the left"


def pretend(monkeypatch: pytest.MonkeyPatch, backend: str, milliseconds: dict[str, float]) -> list[tuple[str, ...]]:
    """Let every command give what it would on some machine; return what was run."""
    ran: list[tuple[str, ...]] = []

    def run(folder: Path, *words: str) -> Any:
        ran.append(words)
        np.savez(folder / "notes.npz", **{demo.NOTES: keys_of()})
        gpu = "NVIDIA H100" if backend == "tensorrt" else None
        return {
            "rewrite": {"num_rewritten": 9, "num_nodes": 248},
            "compare": {"outputs": [{"max_abs_error": 0.0}]},
            "build": {
                "seconds": 4.25,
                "build": {"backend": backend, "backend_version": "10.6.0", "gpu": gpu, "gpu_arch": "sm_89"},
            },
            "run": {"runs": [{"latency": {"median_us": 1000 * milliseconds.get(words[1], 0)}}]},
        }[words[0]]  # fmt: skip

    monkeypatch.setattr(demo, "_run", run)
    return ran


def fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.onnx").write_bytes(b"model")
    monkeypatch.setattr(demo, "fetch", lambda name, folder: folder / "model.onnx")


def test_without_a_gpu_it_ends_with_the_time_of_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched(tmp_path, monkeypatch)
    ran = pretend(monkeypatch, "tensorrt-rtx", {"rewritten.onnx": 222.4})
    assert demo.main(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4] == "8 of 8 notes found, 2.0 s of music in 222 ms on this CPU"
    paths = [Path(line.split()[1]) for line in lines[-3:]]
    assert [line.split()[0] for line in lines[-3:]] == ["picture", "page", "engine"]
    assert [path.name for path in paths] == ["notes.png", "basic_pitch.html", "basic_pitch.engine"]
    assert paths[0].resolve() == tmp_path / "notes.png"
    assert Image.open(paths[0]).format == "PNG"
    assert [words[:2] for words in ran if words[0] == "run"] == [("run", "rewritten.onnx")]
    assert len(lines) <= 24


def test_with_a_gpu_it_ends_with_the_time_of_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched(tmp_path, monkeypatch)
    pretend(monkeypatch, "tensorrt", {"rewritten.onnx": 222.4, "basic_pitch.engine": 0.5})
    assert demo.main(tmp_path) == 0
    out = capsys.readouterr().out
    assert "  0.5 ms, 445 times as fast\n" in out
    assert out.splitlines()[-4] == "8 of 8 notes found, 2.0 s of music in 0.5 ms on NVIDIA H100"


def test_a_step_that_fails_ends_it_with_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched(tmp_path, monkeypatch)  # the model is no model
    assert demo.main(tmp_path) == 3
    assert not (tmp_path / "notes.png").exists()


def test_it_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx")
    source = Path(os.environ.get("TRTCONV_TEST_MODELS", "no folder"), "basic_pitch_nmp_op15.onnx")
    if not source.is_file():
        pytest.skip("TRTCONV_TEST_MODELS names no folder with it")
    shutil.copy(source, tmp_path / "basic_pitch_nmp.onnx")
    assert demo.main(tmp_path) == 0
    out = capfd.readouterr().out
    assert "  9 of 248 nodes become plugins\n" in out
    assert "largest error of the rewritten model: 0\n" in out
    assert out.splitlines()[-4].startswith("8 of 8 notes found, 2.0 s of music in ")
    for name in ("notes.png", "basic_pitch.html", "basic_pitch.engine"):
        assert (tmp_path / name).stat().st_size > 10000
