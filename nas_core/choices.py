"""What a person chooses, for one notebook or for all: profile, seeds, formulation; and what follows from that.

A notebook's session and the driver that executes notebooks both ask here, so they mean the same runs.
"""

from collections.abc import Sequence
from pathlib import Path

from nas_core.backends.formulations import FORMULATIONS
from nas_core.errors import UserError, choose
from nas_core.experiments import PROFILES, TUNING_SEEDS, configs, reporting_seeds
from nas_core.files import repository
from nas_core.runs import location
from nas_core.trainers.methods import Exact, SecondOrder
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import RunConfig

STANDARD = "fused"  # the formulation that the settings name by themselves, and that the committed figures are of


class Choice:
    """A checked choice; anything wrong is a :class:`UserError`.

    ``seeds``: none means those that the profile reports. ``formulation``: of the supernets; "" leaves to each run
    its own. Runs of second order with the estimator 'exact' stay plain whatever is chosen: no other formulation has it.
    """

    def __init__(self, profile: str, seeds: Sequence[int] = (), formulation: str = "") -> None:
        self.profile = choose("profile", profile, PROFILES)
        self.seeds = check_seeds(seeds) or reporting_seeds(profile)
        if formulation:
            choose("formulation", formulation, FORMULATIONS)
        self.formulation = formulation

    def configs(self, run: str) -> list[RunConfig]:
        """One config a seed of the run ``run``; one that cannot be computed as chosen is a UserError."""
        return [self._formulated(config) for config in configs(run, self.profile, self.seeds)]

    @property
    def folder(self) -> Path:
        """Where executed notebooks go, and figures that are not the committed ones."""
        name = self.profile
        if self.formulation not in ("", STANDARD):
            name += f"-{self.formulation}"
        return location() / "out" / name

    def _formulated(self, config: RunConfig) -> RunConfig:
        if not self.formulation or not isinstance(config, SearchConfig):
            return config
        if isinstance(config.method, SecondOrder) and isinstance(config.method.estimator, Exact):
            return config
        try:
            return config.but(formulation=self.formulation)
        except UserError as error:
            raise UserError(f"run {config.run}: {error}") from None


def check_seeds(seeds: object) -> tuple[int, ...]:
    """``seeds`` as given to a notebook, checked: different non-negative integers, none of them for tuning."""
    if not isinstance(seeds, list | tuple):
        raise _bad_seed(seeds)
    for seed in seeds:
        if type(seed) is not int or seed < 0 or seed in TUNING_SEEDS or seeds.count(seed) > 1:
            raise _bad_seed(seed)
    return tuple(seeds)


def _bad_seed(seed: object) -> UserError:
    return UserError(
        f"seeds must be a list of different whole numbers from 0, as in [0, 1] (papermill: -y 'seeds: [0, 1]'), "
        f"without {TUNING_SEEDS[0]} to {TUNING_SEEDS[-1]}, which chose the settings; not {seed!r}."
    )


def shown(path: Path) -> str:
    """A path as a notebook may show it: relative to the checkout, else its last part; never an absolute one."""
    root = repository()
    whole = path.resolve()
    if root is not None and whole.is_relative_to(root):
        return f"{whole.relative_to(root).as_posix()}/"
    return f"{path.name}/"
