"""Opens JupyterLab on the notebooks, whose kernels are this environment's and hear nothing of the person's settings."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from nas_core.driver.kernels import neutral
from nas_core.driver.plan import notebooks_folder

HIDDEN = ["conftest.py", "__pycache__", "*.pyc", ".*", "site", "index.md"]  # in the file browser: what is no notebook


def lab(arguments: Sequence[str]) -> NoReturn:
    """Become JupyterLab, which gets the ``arguments``, too; its own settings (theme, keys) stay the person's."""
    variables = neutral()
    variables.pop("JUPYTER_PATH", None)  # where a foreign kernel of the same name may be
    variables["JUPYTER_PREFER_ENV_PATH"] = "1"
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--notebook-dir={notebooks_folder()}",
        f"--ContentsManager.hide_globs={HIDDEN}",
        *arguments,
    ]
    os.execve(sys.executable, command, variables)


if __name__ == "__main__":
    lab(sys.argv[1:])
