"""How fast and how large a search step is in each formulation: ``python -m nas_core bench``.

Formulations take turns in one process, so that what else the machine does hits all alike; a ratio is the median over
pairs of steps. Peak memory is that of a process of its own. The bound is the time that the convolutions alone would
take at the rates that this machine reaches: a large matrix product, and a 3x3 depthwise convolution in cache.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nas_core.cells.fused import FORMULATIONS, build_supernet
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.supernet import Space, Supernet
from nas_core.cells.topology import darts_cell
from nas_core.relaxations import RELAXATIONS


@dataclass(frozen=True)
class Size:
    """A DARTS network: images of ``side`` pixels and 3 channels, reduction cells if there are at least three cells."""

    channels: int
    cells: int
    nodes: int
    side: int
    ops: int = len(CANDIDATES)
    batch: int = 64

    def supernet(self, formulation: str) -> Supernet:
        """In training mode, channels last."""
        candidates = CANDIDATES[-self.ops :]
        model = build_supernet(
            Space(darts_cell(self.nodes), candidates), formulation=formulation, channels=self.channels,
            layers=self.cells, classes=10, in_channels=3, reductions=self.cells > 2, head_bias=True,
            generator=Generator().manual_seed(0),
        )  # fmt: skip
        return model.to(memory_format=torch.channels_last)


SIZES = {
    "W1": Size(16, 8, 4, 32),
    "W2a": Size(8, 4, 2, 16),
    "W2b": Size(8, 4, 4, 16),
    "laptop": Size(8, 1, 4, 7),
}
GROWTH = {
    "nodes": (1, 2, 3, 4, 5),
    "cells": (1, 2, 4, 8),
    "ops": (2, 4, 8),
    "channels": (4, 8, 16, 32),
    "batch": (16, 32, 64, 128),
}
# Relaxation, and whether logits and weights learn from passes of their own.
METHODS = {
    "DARTS first order": ("softmax", True),
    "single level": ("softmax", False),
    "SNAS": ("concrete", False),
    "DSNAS": ("one-hot", False),
}


def step(size: Size, method: str, formulation: str) -> Callable[[], None]:
    """One search step without the optimisers: draw, forward, and the gradients that the method needs."""
    model, generator = size.supernet(formulation), Generator().manual_seed(1)
    images = torch.randn(size.batch, 3, size.side, size.side, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (size.batch,), generator=generator)
    kinds, weights = torch.tensor(model.cell_type), list[Tensor](model.parameters())
    logits = torch.zeros(2, len(model.space.topology.edges), size.ops)
    name, bilevel = METHODS[method]
    draw = RELAXATIONS[name].draw

    def one_pass(gates: Tensor, wanted: list[Tensor]) -> None:
        loss = F.cross_entropy(model(images, gates), labels)
        torch.autograd.grad(loss, wanted, allow_unused=True)

    def run() -> None:
        gates = draw(logits, generator, 1.0)[kinds].requires_grad_()
        if bilevel:
            one_pass(gates, [gates])
            one_pass(gates.detach(), weights)
        else:
            one_pass(gates, [gates, *weights])

    return run


def alternate(steps: dict[str, Callable[[], None]], pairs: int) -> dict[str, float]:
    """Median milliseconds of each, and the median of plain over fused, after one step each that does not count."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(pairs + 1):
        for name, run in steps.items():
            start = time.perf_counter()
            run()
            if i:
                times[name].append(1e3 * (time.perf_counter() - start))
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {**medians, "ratio": statistics.median(p / f for p, f in zip(times["plain"], times["fused"], strict=True))}


def _grown(size: Size, method: str, formulation: str) -> float:
    torch.set_num_threads(1)
    run, before = step(size, method, formulation), _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew; importing had one of its own
    run()
    return _resident("VmHWM") - before


def _resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(name))


def peak_memory(size: Size, method: str, formulation: str) -> float | None:
    """MiB by which one step lets a fresh process grow; only Linux tells."""
    if platform.system() != "Linux":
        return None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (size, method, formulation))


def multiply_adds(size: Size) -> tuple[int, int]:
    """Of the convolutions of one forward pass: dense and depthwise."""
    model, found = size.supernet("plain"), [0, 0]

    def count(layer: nn.Conv2d, _: object, out: Tensor) -> None:
        found[layer.groups > 1] += layer.weight[0].numel() * out.numel()

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    gates = torch.ones(size.cells, len(model.space.topology.edges), size.ops)
    with torch.no_grad():
        model(torch.zeros(size.batch, 3, size.side, size.side), gates)
    return found[0], found[1]


def rates() -> tuple[float, float]:
    """Multiply-adds a millisecond of a matrix product and of a depthwise convolution, the best of twenty."""
    a = torch.randn(1024, 1024)
    x = torch.randn(16, 64, 16, 16).contiguous(memory_format=torch.channels_last)
    w = torch.randn(64, 1, 3, 3)

    def best(run: Callable[[], object]) -> float:
        return min(alternate({"plain": run, "fused": run}, 1)["plain"] for _ in range(20))  # type: ignore[dict-item]

    return 1024**3 / best(lambda: a @ a), 9 * x.numel() / best(lambda: F.conv2d(x, w, padding=1, groups=64))


def bound(size: Size, method: str, known: tuple[float, float]) -> float | None:
    """Milliseconds of the convolutions of a mixture at the ``known`` rates; a path's depend on what is drawn.

    A gradient of maps, and one of weights, cost a forward pass each: 3 in one pass, 2 + 3 in two.
    """
    relaxation, bilevel = METHODS[method]
    dense, deep = multiply_adds(size)
    return None if relaxation == "one-hot" else (5 if bilevel else 3) * (dense / known[0] + deep / known[1])


def measurements(names: list[str], *, pairs: int, growth: bool, memory: bool) -> Iterator[dict]:
    """One row for each size, method and number of threads; then, around W2a, one for each changed setting."""
    known = rates()
    for name in names:
        for method in METHODS:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                row = {"size": name, **asdict(SIZES[name]), "method": method, "threads": threads}
                row |= alternate({f: step(SIZES[name], method, f) for f in FORMULATIONS}, pairs)
                if threads == 1:
                    row["bound"] = bound(SIZES[name], method, known)
                    row |= {f"{f} MiB": peak_memory(SIZES[name], method, f) for f in FORMULATIONS} if memory else {}
                yield row
    torch.set_num_threads(1)
    for setting, values in GROWTH.items() if growth else ():
        for value in values:
            size = replace(SIZES["W2a"], **{setting: value})
            row = {"size": f"W2a, {setting} {value}", **asdict(size), "method": "SNAS", "threads": 1}
            yield row | alternate({f: step(size, "SNAS", f) for f in FORMULATIONS}, pairs)


def bench(names: list[str], *, pairs: int, growth: bool, memory: bool, out: Path) -> None:
    """Print a line for each measurement as it comes, and write all of them to ``out`` as JSON."""
    rows = []
    print(f"{'size':20} {'method':18} threads  plain ms  fused ms  ratio  bound ms  plain MiB  fused MiB")
    for row in measurements(names, pairs=pairs, growth=growth, memory=memory):
        rows.append(row)
        numbers = [row.get(key) for key in ("plain", "fused", "ratio", "bound", "plain MiB", "fused MiB")]
        cells = ["" if n is None else f"{n:.2f}" if i == 2 else f"{n:.0f}" for i, n in enumerate(numbers)]
        text = " ".join(f"{cell:>{width}}" for cell, width in zip(cells, (9, 9, 6, 9, 10, 10), strict=True))
        print(f"{row['size']:20} {row['method']:18} {row['threads']:7} {text}", flush=True)
    machine = {"torch": torch.__version__, "processor": _processor(), "platform": platform.platform()}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**machine, "pairs": pairs, "rows": rows}, indent=1) + "\n")
    print(f"written to {out}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
