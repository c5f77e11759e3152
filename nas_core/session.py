"""What a notebook's third cell opens: checked parameters, the records it may ask for, and one way to save."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from nas_core import data, papers, report
from nas_core.experiments import PROFILES, RUN_IDS, TUNING_SEEDS, configs, reporting_seeds
from nas_core.claims import CHECKS, Measured, Verdict, evaluate
from nas_core.trainers.settings import RunConfig
from nas_core.errors import UserError, choose
from nas_core.runs import Record, location, obtain
from nas_core.runs.store import repository


class Verdicts(tuple[Verdict, ...]):
    """Verdicts that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return report.verdict_table(self).to_html(float_format="{:.3g}".format, na_rep="")

    def __repr__(self) -> str:
        return report.verdict_text(self)


class Session:
    """Everything that one notebook needs from the project, for one profile and its seeds.

    ``profile``: "" means ``$NAS_PROFILE``, or laptop; ``seeds``: none means those that the profile reports.
    A bad parameter is a :class:`UserError` before anything is computed.
    """

    def __init__(self, notebook: str, *, profile: str = "", seeds: Sequence[int] = ()) -> None:
        self.notebook = notebook
        self.profile = choose("profile", profile or os.environ.get("NAS_PROFILE") or "laptop", PROFILES)
        self.seeds = check_seeds(seeds) or reporting_seeds(self.profile)
        self.out = Path(os.environ.get("NAS_OUT") or location() / "out" / self.profile)
        self._watched = "NAS_DRIVER" not in os.environ  # otherwise nobody looks while it runs
        torch.set_num_threads(1)  # as in every run: networks this small only lose by more, and numbers depend on it
        self._kept: dict[str, list[Record]] = {}
        self._exact: dict[str, str] = {}  # claim -> verdict
        self._data = data_titles(self._configs())

    def __str__(self) -> str:
        device = ", ".join(dict.fromkeys(config.device for config in self._configs())) or "cpu"
        seeds = f"seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}"
        where = os.environ.get("NAS_DRIVER") or shown(self.out)
        exact = "exact: no data set, no runs, the same at every profile"
        used = [", ".join(self._data), f"profile {self.profile}", seeds] if self._data else [exact]
        return f"{self.notebook}: {' · '.join([*used, device])}\noutput: {where}"

    def records(self, run: str) -> list[Record]:
        """The records of a catalogue run, one per seed; what is missing is computed, the rest is read."""
        if run not in self._kept:
            _check_declared(run)
            wanted = configs(run, self.profile, self.seeds)
            echo = print if self._watched else lambda line: None  # the driver has said where records come from
            self._kept[run] = obtain(wanted, progress=self._watched, echo=echo)
        return list(self._kept[run])

    def progress(self, steps: int, label: str) -> Iterable[int]:
        """The numbers 0 to ``steps`` - 1, with a progress bar where a person is watching; for live miniatures."""
        return tqdm(range(steps), desc=label, disable=not self._watched, leave=False)

    def verdicts(self, artefact: str, measured: Measured | None = None) -> Verdicts:
        """The verdicts on all claims that claims.csv ties to an artefact.

        ``measured``: for claims that need no run, the number that the bound in claims.csv is about.
        """
        table = papers.claims()
        tied = [str(claim) for claim in table.index[table["artefact"] == choose_artefact(artefact)]]
        by_hand = [claim for claim in tied if claim not in CHECKS and table["comparison"][claim]]
        for claim in measured or {}:
            choose(f"claim of {artefact} that is measured without runs", claim, by_hand)
        needed = {run for claim in tied if claim in CHECKS for run in CHECKS[claim].runs}
        records = {run: self.records(run) for run in RUN_IDS if run in needed}
        return Verdicts(evaluate(claim, records, measured) for claim in tied)

    def save(
        self,
        artefact: str,
        figure: Figure | None,
        table: pd.DataFrame,
        *,
        title: str,
        runs: Sequence[str] = (),
        measured: Measured | None = None,
        data: str = "none",
        svg: bool = False,
    ) -> Verdicts:
        """Save an artefact of this notebook with its verdicts; ``runs`` must be those that artefacts.csv gives it.

        ``figure`` None draws the table, which has the numbers of the figure otherwise. ``measured`` is as in
        :meth:`verdicts`; ``data`` says what an artefact without runs was computed from.
        """
        row = papers.artefacts().loc[choose_artefact(artefact)]
        if row["notebook"] != self.notebook:
            owner = f"belongs to {row['notebook']}" if row["notebook"] else "has no notebook yet"
            raise UserError(f"{artefact} {owner} in artefacts.csv, so {self.notebook} may not save it.")
        if set(runs) != set(row["runs"].split()):
            raise UserError(f"{artefact} needs the runs {row['runs'] or 'none'} by artefacts.csv, not {list(runs)}.")
        verdicts = self.verdicts(artefact, measured)
        grade = papers.claims()["grade"]
        self._exact |= {v.id: v.verdict for v in verdicts if grade[v.id] == "X"}
        used = [record.config for run in runs for record in self.records(run)]
        sets = data_titles(used)
        report.save(
            artefact,
            figure,
            table,
            title=title,
            profile=self.profile,
            dataset="; ".join(f"{name}, {' or '.join(sizes)} images" for name, sizes in sets.items()) or data,
            seeds=self.seeds if used else (),
            runs=[config.key() for config in used],
            verdicts=verdicts,
            out=self.out,
            svg=svg,
        )
        return verdicts

    def exact(self) -> str:
        """One line on the exact claims of the artefacts saved so far: how many there are, and which do not hold."""
        open_ = [f"{claim} {verdict}" for claim, verdict in self._exact.items() if verdict != "holds"]
        return f"{len(self._exact)} exact claims: {', '.join(open_) or 'all hold'}"

    def _configs(self) -> list[RunConfig]:
        """One config of every run of this notebook; of every run in the catalogue if it has no artefacts."""
        listed = self.notebook in set(papers.artefacts()["notebook"])
        runs = runs_of(self.notebook) if listed else RUN_IDS
        return [configs(run, self.profile, self.seeds[:1])[0] for run in runs]


def check_seeds(seeds: object) -> tuple[int, ...]:
    """``seeds`` as given to a notebook, checked: different non-negative integers, none of them for tuning."""
    given = seeds if isinstance(seeds, list | tuple) else [seeds]
    bad = [seed for seed in given if type(seed) is not int or seed < 0 or seed in TUNING_SEEDS or given.count(seed) > 1]
    if bad or given is not seeds:
        raise UserError(
            f"seeds must be a list of different whole numbers from 0, as in [0, 1] (papermill: -y 'seeds: [0, 1]'), "
            f"without {TUNING_SEEDS[0]} to {TUNING_SEEDS[-1]}, which chose the settings; not {(bad or given)[0]!r}."
        )
    return tuple(given)


def runs_of(notebook: str) -> list[str]:
    """The runs that artefacts.csv gives to the artefacts of a notebook."""
    table = papers.artefacts()
    return list(dict.fromkeys(" ".join(table.loc[table["notebook"] == notebook, "runs"]).split()))


def choose_artefact(artefact: str) -> str:
    """``artefact`` if there is one of that id, otherwise a :class:`UserError` that names the nearest."""
    return choose("artefact", artefact, papers.artefacts().index)


def shown(path: Path) -> str:
    """A path as a notebook may show it: relative to the checkout, else its last part; never an absolute one."""
    root = repository()
    if root is not None and path.resolve().is_relative_to(root):
        return f"{path.resolve().relative_to(root).as_posix()}/"
    return f"{path.name}/"


def data_titles(settings: Iterable[RunConfig]) -> dict[str, list[str]]:
    """The data sets of runs by name, with their numbers of images; a missing or damaged one is a UserError."""
    found: dict[str, list[str]] = {}
    for source in dict.fromkeys(config.data for config in settings):
        name, _, sizes = data.load(source.name, train=source.train, search=source.search).title.partition(", ")
        found.setdefault(name, []).append(sizes.removesuffix(" images"))
    return {name: list(dict.fromkeys(sizes)) for name, sizes in found.items()}


def _check_declared(run: str) -> None:
    """Under the driver, only the runs that artefacts.csv lists may be asked for: they have been computed before."""
    declared = os.environ.get("NAS_DECLARED")
    if declared is not None and run not in declared.split():
        allowed = f"allowed: {', '.join(declared.split()) or 'none'}"
        raise UserError(f"run {run!r} is not listed for this notebook in nas_core/papers/artefacts.csv; {allowed}.")
