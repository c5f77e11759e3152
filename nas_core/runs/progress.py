"""One bar over all runs that are being computed, with the time left and who is at which step."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence

from tqdm import tqdm

from nas_core.runs.compute import Order

FORMAT = "{percentage:3.0f}%|{bar:20}| {elapsed}, {remaining} left{postfix}"


def watched() -> bool:
    """Whether a person sees standard error: in a terminal or a notebook; a log gets no bar."""
    ipython = sys.modules.get("IPython")
    return sys.stderr.isatty() or (ipython is not None and ipython.get_ipython() is not None)


class Progress:
    """Every run counts with its cost; ``echo`` prints a line, above the bar if there is one."""

    def __init__(self, orders: Sequence[Order], show: bool, echo: Callable[[str], None]) -> None:
        self.echo = echo
        self.lock = threading.Lock()
        self.share = {order.key: 0.0 for order in orders}
        self.steps: dict[str, str] = {}
        total, hidden = sum(order.config.cost() for order in orders), not (show and watched())
        self.bar = tqdm(total=total, disable=hidden, leave=False, bar_format=FORMAT, smoothing=0, miniters=0)
        self.close = self.bar.close

    def say(self, line: str) -> None:
        """Print one line."""
        with self.lock, tqdm.external_write_mode():
            self.echo(line)

    def ticker(self, order: Order) -> Callable[[int, int, int], None]:
        """A function to call with a run's steps done, steps in all, and steps done before this process came."""

        def tick(done: int, total: int, first: int) -> None:
            if self.bar.disable:
                return
            with self.lock:
                self.steps[order.key] = f"{order.config.run} s{order.config.seed} {done}/{total}"
                self.bar.set_postfix_str(", ".join(self.steps.values()), refresh=False)
                self._advance(order, done / total, first / total)

        return tick

    def end(self, order: Order, failure: str | None) -> None:
        """A run is done, or has failed."""
        with self.lock:
            self.steps.pop(order.key, None)
            if not self.bar.disable:
                self._advance(order, 1.0, 1.0)
        if failure is not None:
            self.say(f"{order.name}: failed: {failure}")

    def _advance(self, order: Order, share: float, found: float) -> None:
        """A run is done to this share, of which the share ``found`` when it came up is not counted in the speed."""
        if self.share[order.key] == 0.0:
            self.bar.initial += order.config.cost() * found
        self.bar.update(order.config.cost() * (share - self.share[order.key]))
        self.share[order.key] = share
