"""One bar over several runs: the time left, and who is at which step, as the runs' heartbeats tell."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm

from nas_core.runs import heartbeat
from nas_core.runs.store import folder_of
from nas_core.trainers.settings import RunConfig

FORMAT = "{percentage:3.0f}%|{bar:20}| {elapsed}, {remaining} left{postfix}"
REFRESH = 1.0  # seconds between two looks of a bar: what executes a notebook may read them only when a cell has ended


def watched() -> bool:
    """Whether a person sees progress: in a terminal or a notebook; a log gets no bar."""
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs what calls this."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class Line:
    """Where a bar in a notebook is written to: one output, which is replaced, and empty in the end.

    A notebook would keep all that goes to a stream, and Jupyter paints standard error red.
    """

    encoding = "utf-8"  # tqdm asks before it draws with blocks

    def __init__(self) -> None:
        self.handle: Any = None

    def write(self, text: str) -> None:
        """Show a line of a bar instead of the one before."""
        from IPython.display import display

        data = {"text/plain": text.strip()}
        if self.handle is None:
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)

    def flush(self) -> None:
        """Nothing is held back."""


def bar(iterable: Any = None, **settings: Any) -> tqdm:
    """A progress bar of which nothing stays."""
    stream = Line() if in_notebook() else sys.stderr
    return tqdm(iterable, **settings, file=stream, leave=False, mininterval=REFRESH)


class Progress:
    """Every run counts with its cost; ``echo`` prints a line, above the bar if there is one."""

    def __init__(self, configs: Sequence[RunConfig], show: bool, echo: Callable[[str], None]) -> None:
        self.echo = echo
        self.under_way: dict[str, RunConfig] = {}
        self.share: dict[str, float] = {}  # of a run that is done, by key
        total = sum(config.cost() for config in configs)
        hidden = not (show and watched())
        self.bar = bar(total=total, disable=hidden, bar_format=FORMAT, smoothing=0, miniters=0)
        self.close = self.bar.close

    def say(self, config: RunConfig, line: str) -> None:
        """A line about a run."""
        with tqdm.external_write_mode():
            self.echo(f"{config.run} seed {config.seed} ({config.profile}): {line}")

    def begin(self, config: RunConfig) -> None:
        """A run is under way from now on."""
        self.under_way[config.key()] = config

    def look(self) -> None:
        """Read the heartbeats of the runs under way, whoever computes them."""
        if self.bar.disable:
            return
        steps = []
        for key, config in self.under_way.items():
            beat = heartbeat.read(folder_of(key))
            if beat is not None:
                steps.append(f"{config.run} s{config.seed} {beat.done}/{beat.total}")
                self._advance(config, beat.done / beat.total, beat.first / beat.total)
        self.bar.set_postfix_str(", ".join(steps), refresh=False)
        self.bar.update(0)

    def end(self, config: RunConfig, failure: str | None) -> None:
        """A run is done, or has failed."""
        self.under_way.pop(config.key(), None)
        if failure is not None:
            self.say(config, f"failed: {failure}")
        if not self.bar.disable:
            self._advance(config, 1.0, 1.0)

    def _advance(self, config: RunConfig, share: float, found: float) -> None:
        """A run is done to this share, of which the share ``found`` when it came up is not counted in the speed."""
        before = self.share.get(config.key())
        if before is None:
            self.bar.initial += config.cost() * found
            before = 0.0
        self.bar.update(config.cost() * (share - before))
        self.share[config.key()] = share
