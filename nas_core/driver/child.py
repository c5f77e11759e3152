"""Papermill's own command, which ends with whoever started it, however that one ended: killed at once, for instance.

Standard input is a pipe that its starter holds open and never writes to, so its end is the starter's end. (Linux could
send a signal instead, other systems cannot.) The kernel looks after its parent by itself, and ends with this process.
"""

import functools
import os
import threading

ENDED = 3  # exit code when the starter is gone
PATIENCE = 60  # seconds for outputs to arrive after their cell has ended; papermill's 4 are few on a busy machine


def _end_with_starter() -> None:
    os.read(0, 1)
    os._exit(ENDED)


if __name__ == "__main__":
    threading.Thread(target=_end_with_starter, daemon=True).start()
    from papermill import cli

    # The command has no option for this one.
    cli.execute_notebook = functools.partial(cli.execute_notebook, iopub_timeout=PATIENCE)
    cli.papermill()
