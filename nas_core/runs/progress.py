"""One bar over all runs that are being computed, with the time left and who is at which step."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence

from tqdm import tqdm

from nas_core.runs.compute import Order

FORMAT = "{percentage:3.0f}%|{bar:20}| {elapsed}, {remaining} left{postfix}"


class Progress:
    """Every run counts with its cost; ``echo`` prints a line, above the bar if there is one."""

    def __init__(self, orders: Sequence[Order], show: bool, echo: Callable[[str], None]) -> None:
        self.echo = echo
        self.lock = threading.Lock()
        self.share = {order.key: 0.0 for order in orders}
        self.steps: dict[str, str] = {}
        seen = sys.stderr.isatty() or "ipykernel" in sys.modules  # a log gets a line a minute, a person a live bar
        total = sum(order.config.cost() for order in orders)
        self.bar = tqdm(
            total=total,
            disable=not show,
            leave=False,
            bar_format=FORMAT,
            smoothing=0,
            mininterval=0.2 if seen else 60.0,
            maxinterval=60.0,
            miniters=0,
            dynamic_ncols=seen and "TERM" in os.environ,
        )

    def say(self, line: str) -> None:
        """Print one line."""
        with self.lock, tqdm.external_write_mode():
            self.echo(line)

    def start(self, order: Order) -> None:
        """A run's turn has come."""
        with self.lock:
            self.steps[order.key] = f"{order.config.run} s{order.config.seed}"

    def ticker(self, order: Order) -> Callable[[int, int, int], None]:
        """A function to call with a run's steps done, steps in all, and steps done before this process came."""

        def tick(done: int, total: int, first: int) -> None:
            if self.bar.disable:
                return
            cost = order.config.cost()
            with self.lock:
                if self.share[order.key] == 0.0:
                    self.bar.initial += cost * first / total  # not counted in the speed
                self._advance(order, cost * done / total)
                self.steps[order.key] = f"{order.config.run} s{order.config.seed} {done}/{total}"
                self.bar.set_postfix_str(", ".join(self.steps.values()), refresh=False)

        return tick

    def end(self, order: Order, failure: str | None) -> None:
        """A run is done, or has failed."""
        with self.lock:
            self._advance(order, order.config.cost())
            self.steps.pop(order.key, None)
        if failure is not None:
            self.say(f"{order.name}: failed: {failure}")

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()

    def _advance(self, order: Order, share: float) -> None:
        self.bar.update(share - self.share[order.key])
        self.share[order.key] = share
