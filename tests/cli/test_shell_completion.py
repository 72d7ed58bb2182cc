"""The lines of docs/guide.md make a shell complete commands, options and their values."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import environment, run

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


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("nonsense", "got 'nonsense', expected a shell and what it asks for"),
        ("bash_nonsense", "got 'bash_nonsense', expected a shell and what it asks for"),
        ("ksh_source", "got 'ksh_source', expected a shell and what it asks for"),
        ("bash_complete", "needs the variable COMP_WORDS, which the script of bash_source sets"),
    ],
)
def test_what_no_shell_asks_is_an_error(asked: str, said: str) -> None:
    result = run(env=environment(_TRTCONV_COMPLETE=asked))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.error
    assert ("hint: use bash_source" in result.stderr) == (asked != "bash_complete")
