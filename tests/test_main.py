"""The command line: one sentence and an exit code, whatever happens; and it starts fast."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nas_core import __main__
from nas_core.errors import UserError


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("so bad."), 2, "nas_core: so bad."),
        (OSError(28, "No space left on device", "/store/x"), 1, "nas_core: No space left on device: /store/x"),
        (KeyboardInterrupt(), 130, "nas_core: interrupted; what was done is kept, and the same command goes on"),
    ],
    ids=["bad input", "full disk", "Ctrl-C"],
)
def test_an_error_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    def fail(args: object) -> int:
        raise error

    monkeypatch.setattr(__main__, "_claims", fail)
    assert __main__.main(["claims"]) == code
    printed = capsys.readouterr()
    assert printed.err.startswith(message)
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["figure"], ["claims", "--grad", "X"], ["runs"], ["runs", "lst"]])
def test_a_misspelt_command_is_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(arguments) == 2
    assert capsys.readouterr().err.startswith("nas_core: ")


def test_the_commands_that_compute_nothing_do_not_import_torch() -> None:
    code = "import sys; from nas_core.__main__ import main; main(['claims']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0
