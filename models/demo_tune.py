"""The tune that the demonstration plays to Basic Pitch, and the picture of the notes that it wrote down."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SAMPLE_RATE = 22050  # Hz, as Basic Pitch takes it
NUM_SAMPLES = 43844  # of one input, two seconds
LOWEST_NOTE = 21  # the MIDI number of the first of its 88 keys
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_SHOWN = (56, 73)  # MIDI numbers of the keys in the picture
_HIGHEST_HZ = 2000


class Note(NamedTuple):
    """A note of a tune: its MIDI number, and when it sounds, in seconds."""

    key: int
    start: float
    end: float

    @property
    def hertz(self) -> float:
        """The pitch in equal temperament, A4 at 440 Hz."""
        return float(440 * 2 ** ((self.key - 69) / 12))

    @property
    def name(self) -> str:
        """The name of the key: `C4` is the middle C."""
        return f"{_NAMES[self.key % 12]}{self.key // 12 - 1}"


_BEAT = 0.24  # seconds
TUNE = [  # the beginning of the Ode to Joy, Beethoven, 1824
    Note(key, index * _BEAT + 0.03, (index + 1) * _BEAT) for index, key in enumerate((64, 64, 65, 67, 67, 65, 64, 62))
]


def play() -> npt.NDArray[np.float32]:
    """Return the tune as sound [1, samples, 1], each note a fading tone with overtones."""
    seconds = np.arange(NUM_SAMPLES) / SAMPLE_RATE
    sound = np.zeros(NUM_SAMPLES)
    for note in TUNE:
        since = seconds - note.start
        loudness = np.exp(-3 * since) * np.clip(since / 0.01, 0, 1) * np.clip((note.end - seconds) / 0.02, 0, 1)
        for overtone in range(1, 6):
            sound += loudness * np.sin(2 * np.pi * overtone * note.hertz * since) / overtone
    sound *= 0.4 / np.abs(sound).max()
    return sound.astype(np.float32).reshape(1, NUM_SAMPLES, 1)


def num_found(notes: Array) -> int:
    """Return for how many notes of the tune the key is the strongest while it sounds, in `notes` [1, frames, 88]."""
    frames = notes.shape[1] / (NUM_SAMPLES / SAMPLE_RATE)  # a second
    strengths = [notes[0, int(note.start * frames) : int(note.end * frames)].mean(axis=0) for note in TUNE]
    return sum(int(each.argmax()) + LOWEST_NOTE == note.key for note, each in zip(TUNE, strengths, strict=True))


def draw(sound: Array, notes: Array, caption: str) -> bytes:
    """Return a PNG: on the left the sound, on the right the notes that the network found in it, [1, frames, 88]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(caption)
    left, right = figure.subplots(1, 2)
    with np.errstate(divide="ignore"):  # silence is -inf dB, which is black
        left.specgram(sound.ravel(), NFFT=1024, Fs=SAMPLE_RATE, noverlap=768, cmap="magma", vmin=-110)
    left.set(title="in: two seconds of sound", xlabel="seconds", ylabel="Hz", ylim=(0, _HIGHEST_HZ))
    seconds = NUM_SAMPLES / SAMPLE_RATE
    low, high = _SHOWN
    keys = notes[0, :, low - LOWEST_NOTE : high - LOWEST_NOTE].T
    right.imshow(
        keys, origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=1, extent=(0, seconds, low - 0.5, high - 0.5)
    )
    for note in TUNE:
        edges = [note.start, note.end, note.end, note.start, note.start]
        right.plot(edges, note.key + 0.5 * np.array([-1, -1, 1, 1, -1]), color="white", linewidth=0.8)
    right.set(title="out: the notes found (framed: those that were played)", xlabel="seconds", xlim=(0, seconds))
    right.set_yticks(range(low, high), [Note(key, 0, 0).name for key in range(low, high)], fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
