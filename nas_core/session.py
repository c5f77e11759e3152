"""What a notebook's third cell opens: checked parameters, the records it may ask for, and one way to save."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from nas_core import data, papers, plugins, report
from nas_core.choices import Choice, shown
from nas_core.claims import CHECKS, Measured, evaluate
from nas_core.errors import UserError, choose
from nas_core.experiments import EXPERIMENTS, RUN_IDS
from nas_core.experiments.words import described, sentences
from nas_core.files import check_can_write
from nas_core.parameters import check_injected
from nas_core.report import Verdicts
from nas_core.runs import Record, RunsFailed, obtain
from nas_core.runs.progress import bar
from nas_core.trainers.cost_probe import CostProbeConfig
from nas_core.trainers.enas_settings import ControllerConfig
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import RunConfig

EXACT = "exact: no data set, no runs, the same at every profile"


class Session:
    """Everything that one notebook needs from the project, for one profile, its seeds and one formulation.

    ``profile``: "" means ``$NAS_PROFILE``, or laptop; ``seeds``: none means those of each run that the profile reports;
    ``formulation``: "" means ``$NAS_FORMULATION``, or each run's own; the device is ``$NAS_DEVICE``, or each run's own;
    ``table``: "own" for runs by this machine's latencies.
    A bad parameter, also one that papermill was given and the notebook does not have, is a :class:`UserError` before
    anything is computed; so is a folder for results that cannot be written to.
    """

    def __init__(
        self, notebook: str, *, profile: str = "", seeds: Sequence[int] = (), formulation: str = "", table: str = ""
    ) -> None:
        check_injected()
        plugins.load_all()
        self.notebook = notebook
        self.choice = Choice(
            profile or os.environ.get("NAS_PROFILE") or "laptop",
            seeds,
            formulation or os.environ.get("NAS_FORMULATION", ""),
            table=table,
        )
        self.profile = self.choice.profile
        self.seeds = max((self.choice.seeds_of(run) for run in self._runs()), key=len, default=())
        self.out = Path(os.environ.get("NAS_OUT") or self.choice.folder)
        check_can_write(self.out)
        self._watched = "NAS_DRIVER" not in os.environ  # otherwise nobody looks while it runs
        torch.set_num_threads(1)  # as in every run: networks this small only lose by more, and numbers depend on it
        self._records: dict[str, list[Record]] = {}
        self._exact: dict[str, str] = {}  # claim -> verdict
        self._data = data_titles(self._examples())

    def __str__(self) -> str:
        parts = [EXACT]
        if self._data:
            parts = [", ".join(self._data), f"profile {self.profile}", self._seeds_in_words()]
        if self._data and self.choice.formulation:
            parts.append(f"formulation {self.choice.formulation}")
        if self.choice.table:
            parts.append("latencies of this machine")
        devices = dict.fromkeys(config.device for config in self._examples())
        parts.append(", ".join(devices) or "cpu")
        where = os.environ.get("NAS_DRIVER") or shown(self.out)
        return f"{self.notebook}: {' · '.join(parts)}\noutput: {where}"

    def _seeds_in_words(self) -> str:
        """The seeds, where all runs have the same ones; otherwise how many there are."""
        counts = [len(self.choice.seeds_of(run)) for run in self._runs()]
        if min(counts) == max(counts):
            return f"seed{_plural(self.seeds)} {', '.join(map(str, self.seeds))}"
        return f"{min(counts)} to {max(counts)} seeds a run"

    def records(self, run: str) -> list[Record]:
        """The records of a run, one per seed; what is missing is computed, the rest is read.

        At smoke, where runs are shorter than the start of a worker, all runs of the notebook come with the first one.
        A run that artefacts.csv does not give to an artefact of this notebook is a :class:`UserError`: the driver
        would not have computed it before.
        """
        if run not in self._records:
            self._check_listed(run)
            self._fetch(run)
        return list(self._records[run])

    def _fetch(self, run: str) -> None:
        if self.profile == "smoke" and not self._records:
            with suppress(RunsFailed):  # of a run that fails, who asks for it hears
                self._obtain(papers.runs_of(self.notebook))
        if run not in self._records:
            self._obtain([run])

    def _obtain(self, runs: Sequence[str]) -> None:
        configs: list[RunConfig] = []
        for run in runs:
            configs += self.choice.configs(run)
        echo = print if self._watched else _silent  # the driver has said where records come from
        for record in obtain(configs, progress=self._watched, echo=echo):
            self._records.setdefault(record.config.run, []).append(record)

    def progress(self, steps: int, label: str) -> Iterable[int]:
        """The numbers 0 to ``steps`` - 1, with a progress bar where a person is watching; for live miniatures."""
        return bar(range(steps), desc=label, disable=not self._watched)

    def busy(self, label: str) -> tqdm:
        """A line that is there as long as its ``with`` block lasts where a person is watching: "drawing WI-F3 ..."."""
        return bar(total=1, desc=label, bar_format="{desc} ...", disable=not self._watched)

    def verdicts(self, artefact: str, measured: Measured | None = None) -> Verdicts:
        """The verdicts on all claims that claims.csv ties to an artefact.

        ``measured``: for claims that need no run, the number that the bound in claims.csv is about.
        """
        papers.choose_artefact(artefact)
        table = papers.claims()
        tied = [str(claim) for claim in table.index[table["artefact"] == artefact]]
        by_hand = [claim for claim in tied if claim not in CHECKS and table["comparison"][claim]]
        for claim in measured or {}:
            choose(f"claim of {artefact} that is measured without runs", claim, by_hand)
        return self.judge(*tied, measured=measured)

    def judge(self, *claims: str, measured: Measured | None = None) -> Verdicts:
        """The verdicts on claims, also on those that are tied to no artefact; ``measured`` as above."""
        needed: set[str] = set()
        for claim in claims:
            if claim in CHECKS:
                needed.update(CHECKS[claim].needed)
        records = {run: self.records(run) for run in EXPERIMENTS if run in needed}
        return Verdicts(evaluate(claim, records, measured) for claim in claims)

    def save(
        self,
        artefact: str,
        figure: Figure | None,
        table: pd.DataFrame,
        *,
        title: str,
        note: str = "",
        part: str = "",
        runs: Sequence[str] | None = None,
        measured: Measured | None = None,
        data: str = "",
        svg: bool = False,
    ) -> Verdicts:
        """Save an artefact of this notebook with its verdicts, and return these.

        ``figure`` is the paper's item and nothing else, ``table`` has every number in it; ``figure`` None draws the
        table. What is shown beyond the item is a ``part`` of its own, "b", "c", ..., which has no verdicts. ``runs``
        are those that are drawn, if they are fewer than artefacts.csv gives the artefact. The caption says how they
        were made; ``note`` is the clause on the deviation that matters, and ``data`` says what an artefact without runs
        was computed from. ``measured`` is as in :meth:`verdicts`.
        """
        of_artefact = self._own_runs(artefact)
        drawn = of_artefact if runs is None else [choose(f"run of {artefact}", run, of_artefact) for run in runs]
        verdicts = Verdicts()
        if not part:
            verdicts = self.verdicts(artefact, measured)
            self._remember(verdicts)
        used: list[RunConfig] = []
        for run in drawn:
            used += [record.config for record in self.records(run)]
        sets = [f"{name}, {' or '.join(sizes)} images" for name, sizes in data_titles(used).items()]
        words = [described(used) if used else data, note]
        report.save(
            artefact,
            figure,
            table,
            title=title,
            caption=sentences(words),
            profile=self.profile,
            dataset="; ".join(sets) or data or "none",
            seeds=tuple(dict.fromkeys(config.seed for config in used)),
            runs=[config.key() for config in used],
            formulation=", ".join(_formulations(used)),
            verdicts=verdicts,
            out=self.out,
            part=part,
            svg=svg,
        )
        return verdicts

    def _remember(self, verdicts: Verdicts) -> None:
        """Keep the verdicts on exact claims for :meth:`exact`."""
        grade = papers.claims()["grade"]
        for verdict in verdicts:
            if grade[verdict.id] == "X":
                self._exact[verdict.id] = verdict.verdict

    def exact(self) -> str:
        """One line on the exact claims of the artefacts saved so far: how many there are, and which do not hold."""
        open_ = [f"{claim} {verdict}" for claim, verdict in self._exact.items() if verdict != "holds"]
        return f"{len(self._exact)} exact claims: {', '.join(open_) or 'all hold'}"

    def _own_runs(self, artefact: str) -> list[str]:
        """The runs of ``artefact``; a :class:`UserError` if artefacts.csv does not give it to this notebook."""
        papers.choose_artefact(artefact)
        row = papers.artefacts().loc[artefact]
        if row["notebook"] != self.notebook:
            owner = f"belongs to {row['notebook']}" if row["notebook"] else "has no notebook yet"
            raise UserError(f"{artefact} {owner} in artefacts.csv, so {self.notebook} may not save it.")
        return str(row["runs"]).split()

    def _check_listed(self, run: str) -> None:
        choose("run", run, EXPERIMENTS)
        listed = papers.runs_of(self.notebook)
        if run not in listed:
            allowed = f"allowed: {', '.join(listed) or 'none'}"
            raise UserError(
                f"run {run!r} is not listed for {self.notebook} in nas_core/papers/artefacts.csv; {allowed}."
            )

    def _examples(self) -> list[RunConfig]:
        """One config of every run of this notebook."""
        return [self.choice.configs(run)[0] for run in self._runs()]

    def _runs(self) -> Sequence[str]:
        """Every run of this notebook; every run that there is if it has no artefacts."""
        listed = self.notebook in set(papers.artefacts()["notebook"])
        return papers.runs_of(self.notebook) if listed else RUN_IDS


def data_titles(settings: Iterable[RunConfig]) -> dict[str, list[str]]:
    """The data sets of runs by name, with their numbers of images; a missing or damaged one is a UserError."""
    found: dict[str, list[str]] = {}
    images = chain.from_iterable(config.images() for config in settings)
    for source in dict.fromkeys(images):
        title = data.load(source.name, train=source.train, search=source.search).title
        name, _, sizes = title.partition(", ")
        count = sizes.removesuffix(" images")
        if count not in found.setdefault(name, []):
            found[name].append(count)
    return found


def _plural(things: Sequence[object]) -> str:
    return "s" if len(things) > 1 else ""


def _silent(line: str) -> None:
    """Say nothing."""


def _formulations(configs: Sequence[RunConfig]) -> list[str]:
    """How the supernets of the searches and probes among ``configs`` are computed, each once."""
    kinds = SearchConfig | ControllerConfig | CostProbeConfig
    return list(dict.fromkeys(config.formulation for config in configs if isinstance(config, kinds)))
