"""What a person chooses, for one notebook or for all: profile, seeds, formulation and so on; and what follows from it.

A notebook's session and the driver that executes notebooks both ask here, so they mean the same runs.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nas_core.backends.formulations import FORMULATIONS
from nas_core.cells.latency import OWN, own_table
from nas_core.errors import UserError, choose
from nas_core.experiments import PROFILES, RUN_IDS, TUNING_SEEDS, configs, reporting_seeds
from nas_core.experiments.proxyless_chains import by_table
from nas_core.files import repository
from nas_core.runs import location
from nas_core.trainers.cost_probe import CostProbeConfig
from nas_core.trainers.devices import check_name
from nas_core.trainers.enas_settings import ControllerConfig
from nas_core.trainers.retraining_settings import RetrainingConfig
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import RunConfig

STANDARD = "fused"  # the formulation that the settings name by themselves, and that the committed figures are of


class Choice:
    """A checked choice; anything wrong is a :class:`UserError`.

    ``seeds``: none means those of each run that the profile reports. ``formulation``: of the supernets; "" leaves to
    each run its own. Runs that are plain, since no other formulation can compute them, stay so whatever is chosen.
    ``device``: "" means ``$NAS_DEVICE``, or each run's own. ``table``: "own" for runs by the latencies that ``make
    latency`` has measured on this machine, in place of the committed ones.
    """

    def __init__(
        self, profile: str, seeds: Sequence[int] = (), formulation: str = "", device: str = "", table: str = ""
    ) -> None:
        self.profile = choose("profile", profile, PROFILES)
        self.seeds = check_seeds(seeds)
        if all(self.seeds == reporting_seeds(run, profile) for run in RUN_IDS):
            self.seeds = ()  # what is reported anyway
        if formulation:
            choose("formulation", formulation, FORMULATIONS)
        self.formulation = formulation
        self.device = device or os.environ.get("NAS_DEVICE", "")
        if self.device:
            check_name(self.device)
        self.table, self._digest = table, ""
        if table:
            choose("table of latencies", table, (OWN,))
            self._digest = own_table().digest

    def configs(self, run: str) -> list[RunConfig]:
        """One config a seed of the run ``run``; one that cannot be computed as chosen is a UserError."""
        return [self._as_chosen(config) for config in configs(run, self.profile, self.seeds or None)]

    def seeds_of(self, run: str) -> tuple[int, ...]:
        """The seeds of the run ``run``."""
        return self.seeds or reporting_seeds(run, self.profile)

    @property
    def reported(self) -> bool:
        """Whether it is what a profile reports: its seeds, the standard formulation, on a processor, its latencies."""
        usual = self.formulation in ("", STANDARD) and self.device in ("", "cpu")
        return usual and not self.seeds and not self.table

    @property
    def folder(self) -> Path:
        """Where executed notebooks go, and figures that are not the committed ones: one folder for every choice."""
        name = self.profile
        if self.formulation not in ("", STANDARD):
            name += f"-{self.formulation}"
        if self.device not in ("", "cpu"):
            name += f"-{self.device.replace(':', '')}"
        if self.table:
            name += f"-{self.table}-latencies"
        if self.seeds:
            name += "-seeds-" + "-".join(map(str, self.seeds))
        return location() / "out" / name

    def _as_chosen(self, config: RunConfig) -> RunConfig:
        if isinstance(config, RetrainingConfig) and config.of is not None:
            config = config.but(of=self._as_chosen(config.of))
        if self.device:
            config = config.but(device=self.device)
        if self._digest:
            config = by_table(config, self._digest)
        if not self.formulation or not isinstance(config, SearchConfig | ControllerConfig | CostProbeConfig):
            return config
        if config.formulation == "plain" and self.formulation != "plain":
            return config  # no other can compute it
        try:
            return config.but(formulation=self.formulation)
        except UserError as error:
            raise UserError(f"run {config.run}: {error}") from None


def check_seeds(seeds: object) -> tuple[int, ...]:
    """``seeds`` as given to a notebook, checked: different non-negative integers, none of them for tuning."""
    if not isinstance(seeds, list | tuple):
        raise _bad_seed(seeds)
    found: list[int] = []
    for seed in seeds:
        whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
        if not whole or not 0 <= seed < 2**31 or seed in TUNING_SEEDS or seed in found:
            raise _bad_seed(seed)
        found.append(int(seed))
    return tuple(found)


def _bad_seed(seed: object) -> UserError:
    return UserError(
        f"seeds must be a list of different whole numbers from 0, below 2**31, as in [0, 1] (papermill: -y 'seeds: "
        f"[0, 1]'), without {TUNING_SEEDS[0]} to {TUNING_SEEDS[-1]}, which chose the settings; not {seed!r}."
    )


def whole_number(name: str, value: object, least: int) -> int:
    """A notebook's parameter ``name``, a whole number from ``least``; anything else is a :class:`UserError`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UserError(f"{name} must be a whole number from {least}, not {value!r}.")
    return int(value)


def shown(path: Path) -> str:
    """A path as a notebook may show it: relative to the checkout, else its last part; never an absolute one."""
    root = repository()
    whole = path.resolve()
    if root is not None and whole.is_relative_to(root):
        return f"{whole.relative_to(root).as_posix()}/"
    return f"{path.name}/"
