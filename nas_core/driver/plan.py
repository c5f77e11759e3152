"""What a call of ``figures`` will do, checked in full before anything is computed."""

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from nas_core import data, papers
from nas_core.choices import STANDARD, Choice
from nas_core.driver.ledger import check_artefacts
from nas_core.errors import UserError, choose
from nas_core.files import repository, writing
from nas_core.runs import Cluster
from nas_core.runs.pool import default_jobs
from nas_core.trainers.settings import RunConfig

PARAMETERS = ("profile", "seeds")  # every notebook's parameters cell has these


class Plan:
    """A checked call: nothing in it can still turn out to be misspelt.

    ``only``: the artefacts asked for; if none, all that have a notebook, and every notebook. A notebook is executed
    from top to bottom, so the runs of all its artefacts are needed, whichever were asked for. ``formulation``: see
    :class:`nas_core.choices.Choice`; ``cluster``: a file with the settings of :class:`nas_core.runs.Cluster`. Anything
    wrong is a :class:`UserError` before anything is computed.
    """

    def __init__(
        self,
        profile: str,
        *,
        formulation: str = "",
        only: Sequence[str] = (),
        jobs: int | None = None,
        cluster: Path | None = None,
        out: Path | None = None,
    ) -> None:
        self.choice = Choice(profile, formulation=formulation)
        self.artefacts = _chosen(only)  # each with the name of its notebook
        names = set(self.artefacts.values())
        folder = notebooks_folder()
        if not only:
            names.update(path.stem for path in folder.glob("*.ipynb"))
        self.runs = {name: papers.runs_of(name) for name in sorted(names)}  # that each notebook may ask for
        self._configs = {run: self.choice.configs(run) for runs in self.runs.values() for run in runs}
        _check_data(self.configs)
        self.notebooks = {name: check_notebook(folder / f"{name}.ipynb") for name in self.runs}  # those to execute
        self.work = self.choice.folder  # for executed notebooks and everything unfinished
        self.out = check_writable(out or self._usual_folder())
        others = [key for key in papers.artefacts().index if key not in self.artefacts]
        check_artefacts(self.out, others)
        self.jobs = jobs or default_jobs()
        self.cluster = None if cluster is None else Cluster.read(cluster)

    @property
    def configs(self) -> list[RunConfig]:
        """The configs of all runs, each once."""
        return [config for configs in self._configs.values() for config in configs]

    def configs_of(self, notebook: str) -> list[RunConfig]:
        """The configs of the runs that a notebook may ask for."""
        return [config for run in self.runs[notebook] for config in self._configs[run]]

    def _usual_folder(self) -> Path:
        """The committed figures, if these are to replace them: of the laptop profile and the standard formulation."""
        root = repository()
        committed = self.choice.profile == "laptop" and self.choice.formulation in ("", STANDARD)
        return root / "figures" if committed and root is not None else self.work


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


def check_writable(folder: Path) -> Path:
    """``folder``, made if needed, as an absolute path; a :class:`UserError` if one cannot write there."""
    folder = Path(os.path.abspath(folder.expanduser()))
    with writing(folder, "choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 65536)
    return folder


def _check_data(configs: Iterable[RunConfig]) -> None:
    """Load every data set once; a missing or damaged one is a :class:`UserError`."""
    for source in dict.fromkeys(source for config in configs for source in config.images()):
        data.load(source.name, train=source.train, search=source.search, valid=source.valid, test=source.test)


def _chosen(only: Sequence[str]) -> dict[str, str]:
    """The artefacts asked for, or all that can be made, each with its notebook."""
    notebook = {str(key): str(name) for key, name in papers.artefacts()["notebook"].items()}
    made = {key: name for key, name in notebook.items() if name}
    for key in only:
        choose("artefact", key, notebook)
        if key not in made:
            raise UserError(f"{key} exists in the matrix but no notebook makes it yet. Allowed: {', '.join(made)}.")
    return {key: name for key, name in made.items() if not only or key in only}
