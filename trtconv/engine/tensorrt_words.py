"""What TensorRT says, without the places in its sources, its function names and the conditions that it tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# "In validate at /_src/optimizer/api/layers/sliceLayer.cpp:332", once for each function on the way
_PLACE = re.compile(r"\s*\bIn [\w:~<>() ]+? at /\S+?:\d+")
# "ITensor::getDimensions: Error Code 4: API Usage Error (...)", "[graphScope.cpp::make::812] Error Code 2: ... (...)"
_CODE = re.compile(r"^.*?Error Code:? \d+:\s*(?:(?P<kind>[A-Z][\w ]*?) \((?P<inner>.*)\)|(?P<plain>.*))$")
_ASSERTION = re.compile(r"^Assertion failed: .*?: (?=[A-Z\"])")
_CONDITION = re.compile(r"^.*&& \"(?P<words>.+)\"$")
_INVALID_NODE = re.compile(r"^Invalid Node - .+$")
_CHECK = re.compile(r"\bAssertion (?P<condition>\S.*?) failed\b\.?")
_LAYER_KIND = re.compile(r"^I[A-Z]\w+Layer (?=\S+:)")
_TWICE = re.compile(r"^(?P<name>[^:]+: )(?P=name)+")


def words_of(text: str) -> str:
    """Return the cause that TensorRT names, in one line."""
    lines = without_consequences([line for line in map(str.strip, text.splitlines()) if line])
    if len(lines) > 1 and _INVALID_NODE.match(lines[0]):  # the node is named elsewhere
        lines = lines[1:]
    words = " ".join(" ".join(lines[:1]).split())
    if code := _CODE.match(words):
        words = code["inner"] or code["plain"]
    words = _ASSERTION.sub("", _PLACE.sub("", words).strip())
    if condition := _CONDITION.match(words):
        words = condition["words"]
    words = _CHECK.sub(r"TensorRT expects \g<condition>", words)
    words = _TWICE.sub(r"\g<name>", _LAYER_KIND.sub("", words.strip()))
    return words.removesuffix(".") or " ".join(text.split())


def split_name(words: str, names: Iterable[str]) -> tuple[str | None, str]:
    """Return the layer that stands before TensorRT's words, if it is one of `names`, and the words."""
    for name in names:
        for suffix in ("", "_OutputLayer", "_output"):
            label = f"{name}{suffix}:"
            if words.startswith(label):
                return name, words.removeprefix(label).strip()
    return None, words


def kind_of(text: str) -> str | None:
    """Return what kind of error TensorRT calls it: "API Usage Error", "Internal Error", "Myelin"."""
    code = _CODE.match(" ".join(text.split()))
    return code["kind"] if code else None


def without_consequences(messages: Sequence[str]) -> list[str]:
    """Drop TensorRT's repetitions of a missing CUDA device, which every error on a machine without a GPU brings."""
    causes = [message for message in messages if "catchCudaError" not in message]
    return causes or list(messages)
