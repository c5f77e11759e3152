"""What a call of ``figures`` will do, checked in full before anything is computed."""

import json
import tempfile
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from nas_core import data, papers
from nas_core.choices import Choice
from nas_core.driver.ledger import check_artefacts
from nas_core.errors import UserError, choose
from nas_core.files import expanded, repository, writing
from nas_core.runs import Cluster
from nas_core.runs.pool import default_jobs
from nas_core.trainers.settings import RunConfig

PARAMETERS = ("profile", "seeds")  # every notebook's parameters cell has these


class Plan:
    """A checked call: nothing in it can still turn out to be misspelt.

    ``only``: the artefacts asked for, by id or pattern (``WI-*``), and ``paper`` their paper; if none, all that have a
    notebook, and every notebook. ``study``: those of our studies, which are left alone otherwise. A notebook is
    executed from top to bottom, so the runs of all its artefacts are needed, whichever were asked for.
    ``formulation``, ``seeds`` and ``device``: see :class:`nas_core.choices.Choice`; ``cluster``: a file with the
    settings of :class:`nas_core.runs.Cluster`. Anything wrong is a :class:`UserError` before anything is computed;
    nothing is written.
    """

    def __init__(
        self,
        profile: str,
        *,
        formulation: str = "",
        seeds: Sequence[int] = (),
        device: str = "",
        only: Sequence[str] = (),
        paper: str = "",
        study: bool = False,
        jobs: int | None = None,
        cluster: Path | None = None,
        out: Path | None = None,
    ) -> None:
        self.choice = Choice(profile, seeds, formulation, device)
        self.study = study
        self.artefacts = _chosen(only, paper, study)  # each with the name of its notebook
        names = set(self.artefacts.values())
        folder = notebooks_folder()
        if not only and not paper and not study:
            names.update(path.stem for path in folder.glob("*.ipynb"))
            names.difference_update(study_notebooks())
        self.runs = {name: papers.runs_of(name) for name in sorted(names)}  # that each notebook may ask for
        every = chain.from_iterable(self.runs.values())
        self._configs = {run: self.choice.configs(run) for run in every}
        _check_data(self.configs)
        self.notebooks = {name: check_notebook(folder / f"{name}.ipynb") for name in self.runs}  # those to execute
        self.work = self.choice.folder  # for executed notebooks and everything unfinished
        self.out = expanded(out or self._usual_folder())
        others = [key for key in papers.artefacts().index if key not in self.artefacts]
        check_artefacts(self.out, others)
        self.jobs = jobs or default_jobs()
        self.cluster = None if cluster is None else Cluster.read(cluster)

    @property
    def configs(self) -> list[RunConfig]:
        """The configs of all runs, each once."""
        return list(chain.from_iterable(self._configs.values()))

    def configs_of(self, notebook: str) -> list[RunConfig]:
        """The configs of the runs that a notebook may ask for."""
        of_runs = (self._configs[run] for run in self.runs[notebook])
        return list(chain.from_iterable(of_runs))

    def _usual_folder(self) -> Path:
        """The committed figures, if these are to replace them: what the laptop profile reports."""
        root = repository()
        committed = self.choice.profile == "laptop" and self.choice.reported
        return root / "figures" if committed and root is not None else self.work


def study_notebooks() -> set[str]:
    """The names of the notebooks of our studies."""
    table = papers.artefacts()
    return set(table["notebook"][table["kind"] == papers.STUDY]) - {""}


def notebooks_folder() -> Path:
    """The notebooks of the checkout."""
    root = repository()
    if root is None:
        raise UserError("this needs a checkout of the project: its notebooks are not part of the installed package.")
    return root / "notebooks"


def check_notebook(path: Path) -> Path:
    """``path`` if it is a notebook that can be given a profile and seeds."""
    import papermill

    if not path.is_file():
        raise UserError(f"artefacts.csv names the notebook {path.stem}, but {path} is not there.")
    try:
        kernel = json.loads(path.read_text("utf8"))["metadata"]["kernelspec"]["name"]
        found = papermill.inspect_notebook(str(path).replace("{", "{{").replace("}", "}}"))
    except Exception as error:  # no JSON, another shape, a parameters cell that papermill cannot read
        raise UserError(f"{path} cannot be read as a notebook ({type(error).__name__}: {error}).") from error
    if kernel != "python3":
        raise UserError(f"{path} asks for the kernel {kernel!r}; only 'python3' is there on every machine.")
    for name in PARAMETERS:
        if name not in found:
            raise UserError(f"{path} has no parameter {name!r}; its parameters cell must set profile and seeds.")
    return path


def make_writable(folder: Path) -> None:
    """Make ``folder`` if needed; a :class:`UserError` if one cannot write there."""
    with writing(folder, "choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 65536)


def _check_data(configs: Iterable[RunConfig]) -> None:
    """Load every data set once; a missing or damaged one is a :class:`UserError`."""
    images = chain.from_iterable(config.images() for config in configs)
    for source in dict.fromkeys(images):
        data.load(source.name, train=source.train, search=source.search, valid=source.valid, test=source.test)


def _chosen(only: Sequence[str], paper: str, study: bool) -> dict[str, str]:
    """The artefacts asked for, or all that can be made, each with its notebook."""
    table = papers.artefacts()
    table = table[(table["kind"] == papers.STUDY) == study]
    made = {str(key): str(name) for key, name in table["notebook"].items() if name}
    if study and not made:
        raise UserError("no notebook makes a study yet.")
    if paper:
        choose("paper", paper, dict.fromkeys(table["paper"]))
        made = {key: name for key, name in made.items() if table["paper"][key] == paper}
        if not made:
            raise UserError(f"no notebook makes an artefact of {paper} yet.")
    if not only:
        return made
    wanted: set[str] = set()
    for pattern in only:
        wanted.update(_matching(pattern, made))
    return {key: name for key, name in made.items() if key in wanted}


def _matching(pattern: str, made: Iterable[str]) -> list[str]:
    """Those of the artefacts that can be made which a pattern, or an id, means; none is a :class:`UserError`."""
    found = [key for key in made if fnmatchcase(key, pattern)]
    if found:
        return found
    if pattern in papers.artefacts().index and papers.artefacts()["kind"][pattern] == papers.STUDY:
        raise UserError(f"{pattern} belongs to a study, which is made with --study only.")
    if pattern in papers.artefacts().index and papers.artefacts()["notebook"][pattern] == "":
        raise UserError(f"{pattern} exists in the matrix but no notebook makes it yet. Allowed: {', '.join(made)}.")
    return [choose("artefact", pattern, made)]
