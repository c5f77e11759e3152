"""A look-up table of latencies: what every block of a chain takes on one machine, in microseconds for a batch.

The released ProxylessNAS reads such a table, keyed by a block's kind and shapes, in place of the network that its text
describes. Ours is measured by :mod:`nas_core.probes.latency`; the committed one is what searches and figures use.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Generator, Tensor

from nas_core.cells.chain import FIRST, PROXYLESS, ZERO, Choice, Macro, Slot, candidates, check_choices, slots
from nas_core.errors import UserError, choose
from nas_core.files import location

COMMITTED = Path(__file__).parents[1] / "data" / "latency.json"
COLUMNS = ("chain", "part", "slot", "choices", "median_us", "spread_us")
NUMBERS = {"slot": int, "median_us": float, "spread_us": float}
MACHINE = {"processor", "threads", "torch"}  # what :func:`summary` says
STEM, HEAD, BLOCK, NETWORK = "stem", "head", "block", "network"  # the parts that are measured
RELEASED = ("mobile", "cpu", "gpu")  # networks that are timed whole, as chains of their own
OWN = "own"  # names the table of the machine at hand, where a person may choose one


@dataclass(frozen=True)
class Target:
    """A chain on images of ``side`` pixels, ``batch`` at a time.

    ``choices``: what every slot may choose from, if that is not all candidates of ProxylessNAS; ``blocks_of``: the
    chain whose blocks in a table are those of this one, if it has none of its own.
    """

    macro: Macro
    side: int
    in_channels: int
    batch: int
    choices: tuple[tuple[Choice, ...], ...] = ()
    blocks_of: str = ""

    def sides(self) -> list[int]:
        """The side of the map that each slot reads, in pixels."""
        side = _after(self.side, self.macro.stride)
        found = []
        for slot in self.macro.slots:
            found.append(side)
            side = _after(side, slot.stride)
        return found

    def held(self, slot: int) -> tuple[Choice, ...]:
        """What a slot may choose from; the first block is fixed."""
        if self.choices:
            return self.choices[slot]
        return candidates(self.macro.slots[slot]) if slot else (FIRST,)

    def all_held(self) -> list[tuple[Choice, ...]]:
        """What each slot may choose from."""
        return [self.held(slot) for slot in range(len(self.macro.slots))]

    def shapes(self) -> list[tuple[Slot, int]]:
        """Each slot with the side of the map that it reads: equal ones take equal time."""
        return list(zip(self.macro.slots, self.sides(), strict=True))


def _after(side: int, stride: int) -> int:
    return -(-side // stride)


SMALL = Macro(8, 1, slots(8, [(8, 1, 1), (12, 2, 1), (16, 2, 2), (24, 2, 2)]), 48, eps=1e-3)
TARGETS = {
    "small": Target(SMALL, side=7, in_channels=1, batch=64),
    "cifar": Target(replace(PROXYLESS, stride=1), side=32, in_channels=3, batch=1),
    "imagenet": Target(PROXYLESS, side=224, in_channels=3, batch=1),
}
# The small chain with its strided blocks fixed and three candidates for each of the three others: 27 members.
FEW = (Choice(3, (3,)), Choice(6, (7,)), ZERO)
FIXED = (Choice(3, (3,)),)
MEMBERS = ((FIRST,), FIXED, FEW, FIXED, FEW, FIXED, FEW)
SPACES = {**TARGETS, "small-27": replace(TARGETS["small"], choices=MEMBERS, blocks_of="small")}
MOST = 4096  # members of a space that is enumerated


def target(name: str) -> Target:
    """The chain with this name; a :class:`UserError` for any other."""
    return SPACES[choose("chain", name, SPACES)]


def members(target: Target) -> list[tuple[Choice, ...]]:
    """All members of a space, the last slot's choice changing fastest; a :class:`UserError` for too many."""
    held = target.all_held()
    count = math.prod(len(choices) for choices in held)
    if count > MOST:
        raise UserError(f"a space of {count:,} chains is not enumerated; {MOST:,} are the most.")
    return list(itertools.product(*held))


def one_hot(target: Target) -> Tensor:
    """Z of all :func:`members`, (members, slots, candidates), float32; what a slot does not hold is 0."""
    held = target.all_held()
    widest = max(len(choices) for choices in held)
    chains = members(target)
    z = torch.zeros(len(chains), len(held), widest)
    for member, chain in enumerate(chains):
        for slot, choice in enumerate(chain):
            z[member, slot, held[slot].index(choice)] = 1
    return z


def draw_chain(target: Target, generator: Generator) -> tuple[Choice, ...]:
    """One member of a space, drawn uniformly."""
    choices = []
    for slot in range(len(target.macro.slots)):
        held = target.held(slot)
        choices.append(held[int(torch.randint(len(held), (), generator=generator))])
    return tuple(choices)


def code(choice: Choice) -> str:
    """``k5e3`` is kernel 5 and expansion 3; ``zero`` is nothing but the shortcut."""
    if choice == ZERO:
        return "zero"
    (kernel,) = choice.kernels
    return f"k{kernel}e{choice.expansion}"


def codes(choices: Sequence[Choice]) -> str:
    """The codes of a network's blocks, with spaces between them."""
    return " ".join(code(choice) for choice in choices)


def decoded(text: str) -> tuple[Choice, ...]:
    """The blocks that :func:`codes` wrote."""
    found = []
    for word in text.split():
        found.append(ZERO if word == "zero" else Choice(int(word.partition("e")[2]), (int(word[1]),)))
    return tuple(found)


@dataclass(frozen=True)
class LatencyTable:
    """``machine``: where it was measured, in words; ``rows``: a row a block, stem, head or whole network.

    Columns of ``rows``: see :data:`COLUMNS`; the median over repetitions and their interquartile range, in
    microseconds for a batch, in evaluation mode on one thread. A whole network has no slot (-1) and all its choices.
    """

    machine: dict[str, str]
    rows: pd.DataFrame

    @property
    def digest(self) -> str:
        """Names the table by its content."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """The table as text, one row a line."""
        lines = [json.dumps(list(row)) for row in self.rows[list(COLUMNS)].itertuples(index=False)]
        rows = ",\n".join(lines)
        head = json.dumps({"machine": self.machine, "columns": list(COLUMNS)}, indent=1)
        return f'{head[:-2]},\n "rows": [\n{rows}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> LatencyTable:
        """The table that :meth:`to_json` wrote; KeyError, TypeError or ValueError for any other text."""
        content = json.loads(text)
        rows = pd.DataFrame(content["rows"], columns=list(content["columns"]))
        return cls(dict(content["machine"]), rows[list(COLUMNS)].astype(NUMBERS))

    def of_slots(self, name: str) -> Tensor:
        """F of every candidate, (slots, candidates), float64 in microseconds; Zero takes none, nor what is not held."""
        chain = target(name)
        blocks = self._part(name, BLOCK).set_index(["slot", "choices"])["median_us"]
        widest = max(len(chain.held(slot)) for slot in range(len(chain.macro.slots)))
        latency = torch.zeros(len(chain.macro.slots), widest, dtype=torch.float64)
        for slot in range(len(chain.macro.slots)):
            for k, choice in enumerate(chain.held(slot)):
                if choice != ZERO:
                    latency[slot, k] = self._time(blocks, name, slot, code(choice))
        return latency

    def constant(self, name: str) -> float:
        """Stem and head, which are not searched."""
        return float(self._part(name, STEM)["median_us"].sum() + self._part(name, HEAD)["median_us"].sum())

    def of_network(self, name: str, choices: Sequence[Choice]) -> float:
        """The sum over the blocks of a network, stem and head, in microseconds."""
        chain, latency = target(name), self.of_slots(name)
        check_choices(chain.macro, choices)
        total = self.constant(name)
        for slot, choice in enumerate(choices):
            total += latency[slot, chain.held(slot).index(choice)].item()
        return total

    def networks(self, name: str) -> pd.DataFrame:
        """Whole networks: ``choices``, ``median_us``, ``spread_us`` and ``sum_us``, the sum over their blocks."""
        table = self._part(name, NETWORK).reset_index(drop=True)
        sums = [self.of_network(name, decoded(text)) for text in table["choices"]]
        return table[["choices", "median_us", "spread_us"]].assign(sum_us=sums)

    def check(self) -> None:
        """A :class:`UserError` unless every block of every chain has one time above 0, and all else is there."""
        once = self.rows[self.rows["part"] != NETWORK]
        if once.duplicated(["chain", "part", "slot", "choices"]).any():
            raise UserError("the table of latencies has two times of the same block; measure it: make latency")
        for name in TARGETS:
            self.of_slots(name)
            self.constant(name)
            self._part(name, NETWORK)
        for net in RELEASED:
            self._part(f"released {net}", NETWORK)
        times = self.rows["median_us"]
        if not (times > 0).all() or not times.lt(math.inf).all():
            raise UserError("the table of latencies has a time that is no number above 0; measure it: make latency")
        if not set(self.machine) >= MACHINE:
            raise UserError("the table of latencies does not say on which machine; measure it: make latency")

    @staticmethod
    def _time(blocks: pd.Series, name: str, slot: int, choice: str) -> float:
        """The time of one block, of those of a chain by slot and choice."""
        if (slot, choice) not in blocks.index:
            where = f"for block {slot} of the chain {name!r}"
            raise UserError(f"the table of latencies has no {choice} {where}; measure it: make latency")
        return float(blocks.loc[(slot, choice)])

    def _part(self, name: str, part: str) -> pd.DataFrame:
        if name in SPACES:
            name = SPACES[name].blocks_of or name
        found = self.rows[(self.rows["chain"] == name) & (self.rows["part"] == part)]
        if found.empty:
            raise UserError(f"the table of latencies has no {part} of the chain {name!r}; measure it: make latency")
        return found


def own_file() -> Path:
    """Where the table of the machine at hand lies: ``latency.json`` among the records."""
    return location() / "latency.json"


def read_table(path: Path) -> LatencyTable:
    """The table in a file; a missing or damaged one is a :class:`UserError`."""
    if not path.is_file():
        raise UserError(f"there is no table of latencies at {path}; `make latency` measures one.")
    try:
        return LatencyTable.from_json(path.read_text("utf8"))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no table of latencies ({error}); `make latency` measures one.") from None


def own_table() -> LatencyTable:
    """The table of the machine at hand; a :class:`UserError` if there is none, or if it lacks anything."""
    path = own_file()
    table = read_table(path)
    try:
        table.check()
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return table


def committed() -> LatencyTable:
    """The table that the committed figures use."""
    return read_table(COMMITTED)


def table_of(digest: str) -> LatencyTable:
    """The committed table, or one's own, whichever has this digest; a :class:`UserError` if neither has."""
    for path in (COMMITTED, own_file()):
        if path.is_file() and (table := read_table(path)).digest == digest:
            return table
    raise UserError(
        f"no table of latencies has the digest {digest}: neither the committed one nor {own_file()}. If that one was "
        "measured anew, runs by it have settings of their own: ask for them again."
    )


def summary(machine: dict[str, Any]) -> str:
    """Where a table was measured, in one line."""
    return f"{machine['processor']}, {machine['threads']} thread, PyTorch {machine['torch']}"
