"""The lines of docs/guide.md make a shell complete commands, options and their values."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# What is typed, and what must be among the answers to TAB.
TYPED = [("trtconv ", "build"), ("trtconv bu", "build"), ("trtconv build --prec", "--precision"),
         ("trtconv build --precision ", "bf16")]  # fmt: skip
BASH = """
source <(_TRTCONV_COMPLETE=bash_source trtconv)
IFS=' ' read -r -a COMP_WORDS <<< "$TYPED"
[[ $TYPED == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_trtconv_completion trtconv
printf '%s\\n' "${COMPREPLY[@]}"
"""
# The two functions that show answers stand for zsh's own, which work at a prompt alone.
ZSH = """
autoload -Uz compinit && compinit -u -D
source <(_TRTCONV_COMPLETE=zsh_source trtconv)
words=(${=TYPED})
[[ $TYPED == *' ' ]] && words+=('')
CURRENT=${#words}
compadd() { print -l -- ${(P)5} }  # -U -V unsorted -a ARRAY
_describe() { print -l -- ${(P)3} }  # -V unsorted ARRAY -U
_trtconv_completion
"""
FISH = """
_TRTCONV_COMPLETE=fish_source trtconv | source
complete -C "$TYPED"
"""
SHELLS = {"bash": (["bash", "-c"], BASH), "zsh": (["zsh", "-f", "-c"], ZSH), "fish": (["fish", "-N", "-c"], FISH)}


@pytest.mark.parametrize(("typed", "answer"), TYPED)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, typed: str, answer: str, tmp_path: Path) -> None:
    command, script = SHELLS[shell]
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path), "TYPED": typed}
    done = subprocess.run([*command, script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    words = {word for line in done.stdout.splitlines() for word in line.replace(":", "\t").split("\t")}
    assert answer in words, (done.stdout, done.stderr)
    assert "Usage" not in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_the_documented_line_prints_a_script(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trtconv"], env={**os.environ, "_TRTCONV_COMPLETE": f"{shell}_source"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "_trtconv_completion" in done.stdout
    assert f"{shell}_source" in (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
