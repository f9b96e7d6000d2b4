"""`python -m worldmodels`: what it says of itself."""

import re
import subprocess
import sys

import pytest

from worldmodels.__main__ import TOOLS, main, stages


def test_overview_says_what_every_command_does(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines if line.startswith("  "))
    assert set(told) == {*TOOLS, *stages()}
    assert all(len(words) > 15 and words[0].isupper() and not words.endswith(" al") for words in told.values())


def test_overview_needs_no_library():
    """It answers at once: nothing of what it describes is imported."""
    code = "import sys; from worldmodels.__main__ import main; main(['--help']); print('torch' in sys.modules)"
    words = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert words.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("words", "status", "said"), [([], 2, "usage"), (["statsu"], 2, "no command 'statsu'. Did you mean 'status'?")]
)
def test_no_command_or_a_misspelt_one(words, status, said, capsys):
    assert main(words) == status
    assert said in "".join(capsys.readouterr())
