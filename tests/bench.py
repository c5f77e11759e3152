"""How fast and how large a search step is in each formulation of the supernet: ``make bench``.

    python tests/bench.py --help

Formulations take turns in one process, so that what else the machine does hits all alike; a ratio is the median over
turns. Peak memory is what one step adds to a fresh process. The bound is the time that the convolutions alone would
take at the rates that this machine reaches: a large matrix product, and a 3x3 depthwise convolution in cache.

The baseline is the plain formulation on contiguous maps, as the released codes lay them out, with nothing wasted: no
map of zeros for ``none``, and no gradient that the step does not use.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import platform
import statistics
import sys
import time
import timeit
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nas_core.backends import native
from nas_core.backends.formulations import FORMULATIONS
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.supernet import Space, Supernet
from nas_core.cells.topology import darts_cell
from nas_core.errors import UserError, choose
from nas_core.relaxations import RELAXATIONS
from nas_core.trainers.hypergradient import finite_difference, loss_on


@dataclass(frozen=True)
class Size:
    """A DARTS network: images of ``side`` pixels and 3 channels, reduction cells if there are at least three cells."""

    channels: int
    cells: int
    nodes: int
    side: int
    ops: int = len(CANDIDATES)
    batch: int = 64


SIZES = {
    "laptop": Size(8, 1, 4, 7),  # as the runs at the laptop profile
    "W2a": Size(8, 4, 2, 16),
    "W2b": Size(8, 4, 4, 16),
    "W1": Size(16, 8, 4, 32),  # as DARTS searches on CIFAR-10
}
GROWTH = {
    "nodes": (1, 2, 3, 4, 5),
    "cells": (1, 2, 4, 8),
    "ops": (2, 4, 8),
    "channels": (4, 8, 16, 32),
    "batch": (16, 32, 64, 128),
}
# Formulation and layout of the maps.
VARIANTS = {
    "plain": ("plain", torch.contiguous_format),
    "channels last": ("plain", torch.channels_last),
    "fused": ("fused", torch.channels_last),
} | ({"native": ("native", torch.channels_last)} if native.built() else {})


@dataclass(frozen=True)
class Method:
    """Relaxation; whether the logits have a pass of their own; whether that looks through a virtual weight step.

    ``passes``: what the convolutions of a mixture cost in a step, in forward passes; the gradients of the maps cost as
    much as one, those of the weights as another.
    """

    relaxation: str
    bilevel: bool
    second_order: bool = False
    passes: int | None = None


METHODS = {
    "DARTS first order": Method("softmax", True, passes=2 + 3),
    "DARTS second order": Method("softmax", True, True, passes=3 + 3 + 2 * 2 + 3),
    "single level": Method("softmax", False, passes=3),
    "SNAS": Method("concrete", False, passes=3),
    "DSNAS": Method("one-hot", False),
    "two-path": Method("two-path", True),
}


def network(size: Size, variant: str) -> Supernet:
    """In training mode, in float32."""
    kind, layout = VARIANTS[variant]
    model = FORMULATIONS[kind](
        Space(darts_cell(size.nodes), CANDIDATES[-size.ops :]), channels=size.channels, layers=size.cells, classes=10,
        in_channels=3, reductions=size.cells > 2, head_bias=True, generator=Generator().manual_seed(0),
    )  # fmt: skip
    return model.to(memory_format=layout)  # type: ignore[call-overload]


def step(size: Size, method: str, variant: str) -> Callable[[], None]:
    """One search step without the optimisers: draw, forward, and the gradients that the method needs."""
    model, generator, chosen = network(size, variant), Generator().manual_seed(1), METHODS[method]
    images = torch.randn(size.batch, 3, size.side, size.side, generator=generator)
    images = images.contiguous(memory_format=VARIANTS[variant][1])
    labels = torch.randint(10, (size.batch,), generator=generator)
    cell_type, weights = torch.tensor(model.cell_type), list[Tensor](model.parameters())
    logits = torch.zeros(2, len(model.space.topology.edges), size.ops)
    relaxation = RELAXATIONS[chosen.relaxation]

    def one_pass(gates: Tensor, wanted: list[Tensor], observed: Tensor | None = None) -> None:
        loss = F.cross_entropy(model(images, gates, observed=observed), labels)
        torch.autograd.grad(loss, wanted, allow_unused=True)

    def run() -> None:
        a = logits if relaxation.restrict is None else relaxation.restrict(logits, generator)
        gates = relaxation.draw(a, generator, 1.0)[cell_type].requires_grad_()
        if not chosen.bilevel:
            one_pass(gates, [gates, *weights])
            return
        if chosen.second_order:
            loss = loss_on(model, images, labels)
            finite_difference(loss, loss, weights, gates, xi=0.025)
        else:
            one_pass(gates, [gates], a.isfinite()[cell_type] if relaxation.costs == "allowed" else None)
        one_pass(relaxation.draw(logits, generator, 1.0)[cell_type], weights)

    return run


def alternate(steps: dict[str, Callable[[], None]], seconds: float) -> dict[str, float]:
    """Median milliseconds of each, and the first one's over each, over turns of all of them.

    A first turn does not count; then there are two, and more, up to fifteen, until the ``seconds`` are over.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    end = time.monotonic() + seconds
    for turn in range(16):
        for name, run in steps.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(1e3 * (time.perf_counter() - start))
        if turn > 1 and time.monotonic() > end:
            break
    first = next(iter(times.values()))
    ratios = {f"x {name}": statistics.median(a / b for a, b in zip(first, found, strict=True))
              for name, found in list(times.items())[1:]}  # fmt: skip
    return {name: statistics.median(found) for name, found in times.items()} | ratios


def _grown(size: Size, method: str, variant: str) -> float:
    torch.set_num_threads(1)
    run, before = step(size, method, variant), _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew; importing had one of its own
    run()
    return _resident("VmHWM") - before


def _resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(name))


def peak_memory(size: Size, method: str, variant: str) -> float | None:
    """MiB by which one step lets a fresh process grow; only Linux tells."""
    if platform.system() != "Linux":
        return None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (size, method, variant))


def multiply_adds(size: Size) -> tuple[int, int]:
    """Of the convolutions of one forward pass of all candidates: dense and depthwise."""
    model, found = network(size, "plain"), [0, 0]

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
    a, w = torch.randn(1024, 1024), torch.randn(64, 1, 3, 3)
    x = torch.randn(16, 64, 16, 16).contiguous(memory_format=torch.channels_last)

    def best(run: Callable[[], object]) -> float:
        return 1e3 * min(timeit.repeat(run, number=1, repeat=20))

    return 1024**3 / best(lambda: a @ a), 9 * x.numel() / best(lambda: F.conv2d(x, w, padding=1, groups=64))


def bound(size: Size, method: str, known: tuple[float, float]) -> float | None:
    """Milliseconds of the convolutions of a mixture at the ``known`` rates; a path's depend on what is drawn."""
    passes, (dense, deep) = METHODS[method].passes, multiply_adds(size)
    return None if passes is None else passes * (dense / known[0] + deep / known[1])


def measurements(
    names: list[str], methods: list[str], *, threads: list[int], seconds: float, growth: bool, memory: bool
) -> Iterator[dict]:
    """One row for each size, method and number of threads; then, around W2a, one for each changed setting."""
    known = rates()
    for name, threads_now in itertools.product(names, threads):
        size = SIZES[name]
        torch.set_num_threads(threads_now)
        for method in methods:
            row = {"size": name, **asdict(size), "method": method, "threads": threads_now}
            row |= alternate({variant: step(size, method, variant) for variant in VARIANTS}, seconds)
            if threads_now == 1:
                row["bound"] = bound(size, method, known)
                row |= {f"{v} MiB": peak_memory(size, method, v) for v in VARIANTS if memory and v != "channels last"}
            yield row
        sampled = alternate({"plain": step(size, "SNAS", "plain"), "fused": step(size, "DSNAS", "fused")}, seconds)
        yield {"size": name, **asdict(size), "method": "plain SNAS, fused DSNAS", "threads": threads_now, **sampled}
    torch.set_num_threads(1)
    for setting, values in GROWTH.items() if growth else ():
        for value in values:
            size = replace(SIZES["W2a"], **{setting: value})
            row = {"size": f"W2a, {value} {setting}", **asdict(size), "method": "SNAS", "threads": 1}
            yield row | alternate({variant: step(size, "SNAS", variant) for variant in VARIANTS}, seconds)


COLUMNS = {  # heading, what a row calls it, decimals
    "plain ms": ("plain", 0), "last ms": ("channels last", 0), "fused ms": ("fused", 0), "ratio": ("x fused", 2),
    "native ms": ("native", 0), "ratio ": ("x native", 2), "bound ms": ("bound", 0),
    "plain MiB": ("plain MiB", 0), "fused MiB": ("fused MiB", 0), "native MiB": ("native MiB", 0),
}  # fmt: skip


def line(row: dict) -> str:
    """A row as text, in columns."""
    numbers = [(row.get(name), decimals) for name, decimals in COLUMNS.values()]
    cells = ["" if n is None else f"{n:.{d}f}" for n, d in numbers]
    text = "  ".join(f"{cell:>{len(heading)}}" for cell, heading in zip(cells, COLUMNS, strict=True))
    return f"{row['size']:18} {row['method']:23} {row['threads']:7}  {text}"


def processor() -> str:
    """Its name, if the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.processor())


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each measurement as it comes, and write all of them to a file as JSON."""
    parser = argparse.ArgumentParser(description="time the formulations of the supernet against each other")
    parser.add_argument("--sizes", default=",".join(SIZES), metavar="SIZE,...")
    parser.add_argument("--methods", default=",".join(METHODS), metavar="METHOD,...")
    parser.add_argument("--threads", default="1,2", metavar="N,...")
    parser.add_argument("--seconds", type=float, default=5, help="of turns for each line, at least two turns")
    parser.add_argument("--no-growth", action="store_true", help="skip the changes of single settings around W2a")
    parser.add_argument("--no-memory", action="store_true", help="skip the peak memory")
    parser.add_argument("--out", type=Path, default=Path(".runs/bench.json"), metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        names = [choose("size", name, SIZES) for name in args.sizes.split(",")]
        methods = [choose("method", name, METHODS) for name in args.methods.split(",")]
        threads = [int(n) for n in args.threads.split(",")]
    except (UserError, ValueError) as error:
        parser.error(str(error))
    rows = []
    print(f"{'size':18} {'method':23} threads  {'  '.join(COLUMNS)}")
    what = {"seconds": args.seconds, "growth": not args.no_growth, "memory": not args.no_memory}
    for row in measurements(names, methods, threads=threads, **what):
        rows.append(row)
        print(line(row), flush=True)
        facts = {"torch": torch.__version__, "processor": processor(), "platform": platform.platform()}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    print(f"written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
