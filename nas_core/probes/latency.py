"""Measure the table of latencies: every block of every chain, and some whole networks, on the machine at hand.

Blocks that differ in neither shape nor choice are timed once. All are timed in several rounds, one after the other in
each, so that a slow moment does not fall on one of them; the median over all repetitions counts.
"""

from __future__ import annotations

import platform
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Generator, Tensor, nn
from torch.utils.benchmark import Measurement, Timer

from nas_core.cells.chain import (
    ZERO,
    ChainNetwork,
    Choice,
    InvertedBottleneck,
    Slot,
    blocks,
    released_chain,
)
from nas_core.cells.latency import (
    BLOCK,
    COLUMNS,
    HEAD,
    NETWORK,
    RELEASED,
    STEM,
    TARGETS,
    LatencyTable,
    Target,
    code,
    codes,
    draw_chain,
)

ROUNDS = 5
SECONDS = 0.02  # that a block is repeated for in a round, at least
NETWORKS = 12  # whole networks drawn from each space
CLASSES = 10

Key = tuple[Any, ...]  # what is timed: everything that its time depends on
Row = tuple[str, str, int, str]  # chain, part, slot, choices


def measure(progress: Callable[[str], object], names: Sequence[str] = tuple(TARGETS)) -> LatencyTable:
    """The table of these chains on this machine. ``progress`` hears a line a round."""
    timed, rows = _timers(names)
    found: dict[Key, list[Measurement]] = {key: [] for key in timed}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the timer's own advice on noise; we keep the spread
            for number in range(ROUNDS):
                progress(f"round {number + 1} of {ROUNDS}, {len(timed)} blocks and networks")
                for key, timer in timed.items():
                    found[key].append(timer.blocked_autorange(min_run_time=SECONDS))
    finally:
        torch.set_num_threads(threads)
    lines = []
    for row, key in rows:
        (merged,) = Measurement.merge(found[key])
        lines.append((*row, round(1e6 * merged.median, 2), round(1e6 * merged.iqr, 2)))
    return LatencyTable(machine(), pd.DataFrame(lines, columns=list(COLUMNS)))


def machine() -> dict[str, str]:
    """This machine in words."""
    return {"processor": processor(), "system": platform.system(), "threads": "1", "torch": torch.__version__}


def processor() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _timers(names: Sequence[str]) -> tuple[dict[Key, Timer], list[tuple[Row, Key]]]:
    """What is timed, each thing once, and the rows of the table with what each of them reads."""
    timed: dict[Key, Timer] = {}
    rows: list[tuple[Row, Key]] = []

    def add(row: Row, key: Key, build: Callable[[], Timer]) -> None:
        if key not in timed:
            timed[key] = build()
        rows.append((row, key))

    for name in names:
        target = TARGETS[name]
        images = _images(target.batch, target.in_channels, target.side)
        whole = _network(target, [target.held(slot)[0] for slot in range(len(target.macro.slots))])
        add((name, STEM, -1, ""), (name, STEM), partial(_timer, whole.stem, images))
        add((name, HEAD, -1, ""), (name, HEAD), partial(_timer, _Head(whole), _last_map(whole, images)))
        for index, (slot, side) in enumerate(target.shapes()):
            for choice in target.held(index):
                if choice != ZERO:
                    block = partial(_block_timer, target, slot, side, choice)
                    add((name, BLOCK, index, code(choice)), (slot, side, target.batch, choice), block)
        for number, drawn in enumerate(draw_networks(target, NETWORKS)):
            network = partial(_network_timer, target, drawn, images)
            add((name, NETWORK, -1, codes(drawn)), (name, NETWORK, number), network)
    if "imagenet" in names:
        _add_released(add)
    return timed, rows


def _add_released(add: Callable[[Row, Key, Callable[[], Timer]], None]) -> None:
    images = _images(1, 3, 224)
    for net in RELEASED:
        macro, choices = released_chain(net)
        target = Target(macro, side=224, in_channels=3, batch=1)
        network = partial(_network_timer, target, choices, images)
        add((f"released {net}", NETWORK, -1, codes(choices)), ("released", net), network)


def draw_networks(target: Target, number: int) -> list[tuple[Choice, ...]]:
    """Members of a space, drawn uniformly and always the same ones."""
    generator = Generator().manual_seed(0)
    return [draw_chain(target, generator) for _ in range(number)]


class _Head(nn.Module):
    """Head, pool and linear layer of a chain."""

    def __init__(self, network: ChainNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.classify(x)


def _last_map(network: ChainNetwork, images: Tensor) -> Tensor:
    """What the head of a network reads."""
    x = network.stem(images)
    for block in network.blocks:
        x = block(x)
    return x


def _block_timer(target: Target, slot: Slot, side: int, choice: Choice) -> Timer:
    images = _images(target.batch, slot.inputs, side)
    return _timer(InvertedBottleneck(slot, choice, target.macro.eps), images)


def _network_timer(target: Target, choices: Sequence[Choice], images: Tensor) -> Timer:
    return _timer(_network(target, choices), images)


def _network(target: Target, choices: Sequence[Choice]) -> ChainNetwork:
    """A member of the space with weights drawn at random, in evaluation mode."""
    network = ChainNetwork(
        target.macro,
        blocks(target.macro, choices),
        classes=CLASSES,
        in_channels=target.in_channels,
        generator=Generator().manual_seed(0),
    )
    return network.eval().to(memory_format=torch.channels_last)


def _images(batch: int, channels: int, side: int) -> Tensor:
    x = torch.randn(batch, channels, side, side, generator=Generator().manual_seed(0))
    return x.to(memory_format=torch.channels_last)


def _timer(module: nn.Module, x: Tensor) -> Timer:
    module = module.eval().to(memory_format=torch.channels_last)
    return Timer("module(x)", globals={"module": module, "x": x}, num_threads=1, timer=time.thread_time)
