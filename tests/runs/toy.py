"""A trainer of a few microseconds a step with everything a real one has: weights, momentum, a generator, tables."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel

from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.trainers.result import Result

FACTOR = 1.0  # of the learning rate; another value stands for changed source
LATE = 1.0  # of the table's last column; another value stands for changed probes


class ToyConfig(BaseModel, frozen=True, extra="forbid"):
    run: str = "T-TOY"
    profile: str = "smoke"
    seed: int = 0
    epochs: int = 3
    steps_per_epoch: int = 5
    raise_at: int = -1
    die_at: int = -1
    threads: int = 1
    device: str = "cpu"
    needed: tuple[ToyConfig, ...] = ()

    def key(self) -> str:
        return f"{self.run}-s{self.seed}-{hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]}"

    def cost(self) -> float:
        return float(self.epochs * self.steps_per_epoch)

    def identity(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def needs(self) -> tuple[ToyConfig, ...]:
        return self.needed

    @property
    def trainer(self) -> str:
        return "toy:Toy"


class Toy:
    """Least squares by SGD with momentum; every step is logged to $TOY_LOG and lasts $TOY_SLEEP s."""

    def __init__(self, config: ToyConfig, needed: Mapping[str, Result]) -> None:
        self.config = config
        self.period = config.steps_per_epoch
        self.done, self.total = 0, config.epochs * config.steps_per_epoch
        self.generator = torch.Generator().manual_seed(config.seed)
        self.w = torch.randn(4, 3, generator=self.generator)
        for need in config.needs():
            self.w += needed[need.key()].weights["w"]
        self.momentum = torch.zeros(4, 3)
        self.rows: list[dict[str, float]] = []
        self.probs = [self.w.double().softmax(1).numpy()]

    def step(self) -> float:
        if self.done == self.config.raise_at:
            raise RuntimeError("the toy is broken")
        if self.done == self.config.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if log := os.environ.get("TOY_LOG"):
            with open(log, "a") as file:
                file.write(f"{self.config.key()} {self.done} {os.getpid()}\n")
        time.sleep(float(os.environ.get("TOY_SLEEP", "0")))
        x = torch.randn(8, 4, generator=self.generator)
        error = x @ self.w - x.sum(1, keepdim=True)
        self.momentum.mul_(0.9).add_(x.T @ error / 8)
        self.w.sub_(self.momentum, alpha=0.1 * FACTOR)
        loss = float(error.square().mean())
        self.done += 1
        if self.done % self.period == 0:
            self.rows.append({"epoch": self.done // self.period, "loss": loss, "late": loss * LATE})
            self.probs.append(self.w.double().softmax(1).numpy())
        return loss

    def state(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "w": self.w,
            "optimiser": {"state": {0: {"momentum": self.momentum}}, "lr": 0.1},
            "generator": self.generator.get_state(),
            "rows": self.rows,
            "probs": self.probs,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.done, self.rows, self.probs = state["done"], state["rows"], state["probs"]
        self.w.copy_(state["w"])
        self.momentum.copy_(state["optimiser"]["state"][0]["momentum"])
        self.generator.set_state(state["generator"])

    def result(self) -> Result:
        cell = CellGenotype(2, 1, ((0, 2, "skip"), (1, 2, "conv")), (2,))
        genotypes = {"derived": [Genotype(cell)] * self.config.epochs}
        arrays = {"prob_normal": np.stack(self.probs)}
        return Result({"epochs": pd.DataFrame(self.rows)}, arrays, genotypes, {"w": self.w})


def build(config: ToyConfig, needed: Mapping[str, Result]) -> Toy:
    return Toy(config, needed)
