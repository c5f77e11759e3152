"""The driver: everything checked first, each notebook by itself, figures replaced whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fake_project
import nbformat
import pandas as pd
import pytest
from fake_project import SAVE, write

from nas_core import __main__, papers
from nas_core.driver import execute, plan
from nas_core.driver import figures as driver
from nas_core.driver.plan import Plan
from nas_core.errors import UserError
from nas_core.files import write_together
from nas_core.runs import RunsFailed, State


class Project:
    """A fake project in ``folder``, and what the driver said."""

    def __init__(self, folder: Path) -> None:
        self.notebooks, self.out, self.said = folder / "notebooks", folder / "out", list[str]()
        self.store = folder / "store"
        write(self.notebooks, "01_good", SAVE, 'save("WI-A", 1.0)')
        write(self.notebooks, "02_other", SAVE, 'save("WI-B", 2.0)')

    def figures(self, *only: str) -> int:
        """Call the driver at smoke."""
        return driver.figures(Plan("smoke", only=only, out=self.out, jobs=2), self.said.append)

    def has(self, key: str, value: float) -> None:
        """Put an artefact where an earlier call would have left it."""
        os.environ["NAS_OUT"] = str(self.out)
        exec(f"{SAVE}save({key!r}, {value})", {})

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(self.said)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list:
    """The configs that the driver obtains; nothing is trained."""
    seen: list = []
    monkeypatch.setattr(driver, "obtain", lambda configs, **_: seen.extend(configs))
    return seen


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list) -> Project:
    """A fake project instead of the real one."""
    monkeypatch.setattr(papers, "artefacts", fake_project.artefacts)
    monkeypatch.setattr(papers, "claims", fake_project.claims)
    monkeypatch.setenv("NAS_RUNS", str(tmp_path / "store"))
    monkeypatch.setenv("NAS_OUT", "")
    monkeypatch.setattr(plan, "notebooks_folder", lambda: tmp_path / "notebooks")
    return Project(tmp_path)


def test_makes_everything_then_finds_it_identical_then_changed(project: Project, asked: list) -> None:
    assert project.figures() == 0
    assert sorted({config.run for config in asked}) == ["W-DSNAS8", "W-SNAS8"]
    assert len({config.key() for config in asked}) == len(asked), "a run was asked for twice"
    assert fake_project.value(project.out, "WI-B") == 2.0
    assert "all 2 made" in project.text
    assert "new" in project.text
    ledger = pd.read_csv(project.out / "ledger.csv", index_col="id")
    assert ledger["verdict"].to_dict() == {"C-Ax": "holds", "C-Bx": "holds", "C-Cx": "not run"}
    executed = project.store / "out" / "smoke" / "notebooks" / "01_good.ipynb"
    assert nbformat.read(executed, 4).cells[-1].execution_count is not None
    assert list((project.store / "out" / "smoke" / "unfinished").glob("*/*")) == []

    write(project.notebooks, "02_other", SAVE, 'save("WI-B", 3.0, "fails")')
    project.said.clear()
    assert project.figures() == 0
    assert "identical" in project.text
    assert "changed" in project.text
    assert "C-Bx" in project.text
    assert fake_project.value(project.out, "WI-B") == 3.0


def test_one_failing_notebook_does_not_stop_the_rest(project: Project) -> None:
    project.has("WI-B", 2.0)
    write(project.notebooks, "02_other", SAVE, 'save("WI-B", 9.0)', "1 / 0")
    assert project.figures() == 1
    assert fake_project.value(project.out, "WI-A") == 1.0
    assert fake_project.value(project.out, "WI-B") == 2.0, "a failed notebook may not replace what was there"
    assert "02_other: failed: in the cell that begins '1 / 0': ZeroDivisionError: division by zero" in project.text
    assert "1 of 2 failed" in project.text
    assert (project.store / "out" / "smoke" / "notebooks" / "02_other.failed.ipynb").exists()


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("import sys; sys.exit(0)", "ended the notebook early"),
        ("import os; os.kill(os.getpid(), 9)", "DeadKernelError"),
        ("pass", "ended without saving it"),
    ],
    ids=["exit", "death", "nothing saved"],
)
def test_a_notebook_that_ends_early_is_a_failure(project: Project, ending: str, message: str) -> None:
    write(project.notebooks, "02_other", ending, SAVE)
    assert project.figures("WI-B") == 1
    assert message in project.text
    assert not (project.out / "wiring").exists()


def test_a_failed_run_fails_its_notebooks_only(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def obtain(configs: list, **_: object) -> list:
        bad = [config.key() for config in configs if config.run == "W-SNAS8"]
        raise RunsFailed(dict.fromkeys(bad, "no memory"), {})

    monkeypatch.setattr(driver, "obtain", obtain)
    assert project.figures() == 1
    assert "02_other: failed: 2 of its runs failed" in project.text
    assert "no memory" in project.text
    assert fake_project.value(project.out, "WI-A") == 1.0
    assert not (project.out / "wiring" / "WI-B.json").exists()


def test_a_full_store_fails_a_notebook_and_not_the_driver(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = execute.environment

    def full(plan: Plan, saved: Path) -> dict[str, str]:
        if saved.name == "02_other":
            raise OSError(28, "No space left on device", str(saved))
        return plain(plan, saved)

    monkeypatch.setattr(execute, "environment", full)
    assert project.figures() == 1
    assert "02_other: failed: no space left on device: " in project.text
    assert fake_project.value(project.out, "WI-A") == 1.0


def test_only_what_was_asked_for_is_replaced(project: Project) -> None:
    write(project.notebooks, "01_good", SAVE, 'save("WI-A", 1.0); (folder / "WI-B.json").write_text("{}")')
    assert project.figures("WI-A") == 0
    assert [path.name for path in sorted((project.out / "wiring").iterdir())] == ["WI-A.csv", "WI-A.json", "WI-A.png"]
    assert "02_other" not in project.text


def test_the_kernel_knows_its_profile_and_its_formulation(project: Project, asked: list) -> None:
    check = """
import os
assert profile == os.environ["NAS_PROFILE"] == "smoke"
assert os.environ["NAS_FORMULATION"] == "plain"
assert os.environ["NAS_DRIVER"] == "out/", os.environ["NAS_DRIVER"]
"""
    write(project.notebooks, "01_good", SAVE, check, 'save("WI-A", 1.0)')
    plain = Plan("smoke", formulation="plain", only=["WI-A"], out=project.out)
    assert driver.figures(plain, project.said.append) == 0, project.text
    assert "profile smoke, formulation plain: 1 artefacts" in project.text
    assert {config.formulation for config in asked} == {"plain"}
    assert (project.store / "out" / "smoke-plain" / "notebooks" / "01_good.ipynb").exists()
    assert not (project.store / "out" / "smoke").exists()


DRAWN = """
import matplotlib, matplotlib.pyplot as plt
assert matplotlib.rcParams["figure.figsize"] == [6.4, 4.8]
plt.plot([1, 2])
plt.show()
"""


def test_the_persons_settings_do_not_reach_a_notebook(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = project.store.with_name("mine")
    kernel = mine / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": ["false", "{connection_file}"], "display_name": "No", "language": "python"}))
    (mine / "matplotlibrc").write_text("figure.figsize: 1, 1")
    (mine / "start.py").write_text("profile = 'mine'")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("MATPLOTLIBRC", str(mine))
    monkeypatch.setenv("MPLCONFIGDIR", str(mine))
    monkeypatch.setenv("JUPYTER_PATH", str(mine))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(mine))
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    asserts = "import sys, warnings; assert not sys.flags.optimize and not sys.warnoptions; warnings.warn('only')"
    write(project.notebooks, "01_good", SAVE, "assert True, 'kept'", asserts, DRAWN, 'save("WI-A", 1.0)')
    assert project.figures("WI-A") == 0, project.text
    cells = nbformat.read(project.store / "out" / "smoke" / "notebooks" / "01_good.ipynb", 4).cells
    assert [list(output.get("data", {})) for output in cells[-2].outputs] == [["image/png", "text/plain"]]


def test_without_assertions_a_notebook_would_prove_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    write(project.notebooks, "02_other", SAVE, "assert 1 == 2, 'never'", 'save("WI-B", 1.0)')
    assert project.figures("WI-B") == 1
    assert "AssertionError: never" in project.text


def test_braces_in_a_path_are_taken_literally(project: Project) -> None:
    project.notebooks.rename(project.notebooks.with_name("{profile} {x}"))
    folder = project.notebooks.with_name("{profile} {x}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "notebooks_folder", lambda: folder)
        patch.setenv("NAS_RUNS", str(folder / "{store}"))
        assert project.figures("WI-A") == 0, project.text
    assert (folder / "{store}" / "out" / "smoke" / "notebooks" / "01_good.ipynb").exists()


@pytest.fixture
def papermill(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[], int]]:
    """Puts code before papermill's own command, and returns how to count its calls; ``calls`` counts them there."""

    def replace(code: str) -> Callable[[], int]:
        count = project.store.with_name("calls")
        command = project.store.with_name("command.py")
        told = f"from pathlib import Path\nlog = Path({str(count)!r})\n"
        told += "calls = len(log.read_text()) if log.exists() else 0\nlog.write_text('.' * (calls + 1))\n"
        own = f"import runpy; runpy.run_path({execute.PAPERMILL[-1]!r}, run_name='__main__')"
        command.write_text(f"{told}import os, sys\n{code}\n{own}\n")
        monkeypatch.setattr(execute, "PAPERMILL", (sys.executable, "-P", str(command)))
        return lambda: len(count.read_text())

    return replace


def test_a_kernel_that_does_not_start_is_tried_once_more(
    project: Project, papermill: Callable[[str], Callable[[], int]]
) -> None:
    calls = papermill("if calls == 0: sys.exit('no port left')")
    assert project.figures("WI-A") == 0, project.text
    assert calls() == 2


@pytest.mark.parametrize(
    ("code", "cell", "tries", "message"),
    [
        ("sys.exit('no port left')", "pass", 2, "02_other: failed: papermill ended with exit code 1: no port left"),
        ("os.kill(os.getpid(), 9)", "pass", 1, "02_other: failed: papermill ended with SIGKILL: it said nothing"),
        ("pass", "1 / 0", 1, "in the cell that begins '1 / 0': ZeroDivisionError: division by zero"),
        ("pass", "import os; os.kill(os.getpid(), 9)", 1, "DeadKernelError"),
    ],
    ids=["never starts", "killed", "a cell fails", "the kernel dies"],
)
def test_what_went_wrong_is_said(
    project: Project,
    papermill: Callable[[str], Callable[[], int]],
    code: str,
    cell: str,
    tries: int,
    message: str,
) -> None:
    calls = papermill(code)
    write(project.notebooks, "02_other", SAVE, cell)
    assert project.figures("WI-B") == 1
    assert message in project.text
    assert calls() == tries


def test_what_a_killed_call_left_is_swept(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.has("WI-B", 2.0)
    for path in (project.out / "ledger.csv", project.out / "wiring" / "WI-A.json"):
        with monkeypatch.context() as killed:
            killed.setattr(Path, "unlink", lambda path, **_: None)
            killed.setattr(os, "fsync", _killed)
            with pytest.raises(OSError, match="killed"):
                write_together({path: b"half"})
    left = list(project.out.rglob(".*"))
    assert len(left) == 2
    others = [project.out / ".gitignore", project.out / "wiring" / ".notes.json"]
    for path in [*left, *others]:
        path.write_text("")
        os.utime(path, (0, 0))
    fresh = left[0].with_name(".WI-A.png.01234567")
    fresh.write_text("")  # another process writes at the moment
    assert project.figures("WI-A") == 0
    assert sorted(project.out.rglob(".*")) == sorted([*others, fresh])


def _killed(file: object) -> None:
    raise OSError("killed")


def _no_notebook(project: Project) -> None:
    (project.notebooks / "02_other.ipynb").unlink()


def _damaged(project: Project) -> None:
    (project.notebooks / "02_other.ipynb").write_text('{"cells": [')


def _other_kernel(project: Project) -> None:
    path = project.notebooks / "02_other.ipynb"
    path.write_text(path.read_text().replace("python3", "julia"))


def _no_seeds(project: Project) -> None:
    write(project.notebooks, "02_other", SAVE, parameters='profile = ""')


def _damaged_artefact(project: Project) -> None:
    place = project.out / "wiring" / "WI-C.json"
    place.parent.mkdir(parents=True)
    place.write_text('{"claims": [')


def _out_is_a_file(project: Project) -> None:
    project.out.write_text("")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_no_notebook, "artefacts.csv names the notebook 02_other, but"),
        (_damaged, "02_other.ipynb cannot be read as a notebook"),
        (_other_kernel, "asks for the kernel 'julia'"),
        (_no_seeds, "has no parameter 'seeds'"),
        (_out_is_a_file, "cannot write to"),
        (_damaged_artefact, r"WI-C.json is damaged \(JSONDecodeError"),
    ],
)
def test_the_project_is_checked_before_anything_runs(
    project: Project, asked: list, prepare: Callable[[Project], None], message: str
) -> None:
    prepare(project)
    with pytest.raises(UserError, match=message):
        project.figures()
    assert asked == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "labtop"], "unknown profile 'labtop'; did you mean 'laptop'? Allowed: smoke, laptop, paper."),
        (["--formulation", "nativ"], "unknown formulation 'nativ'; did you mean 'native'? Allowed: plain, fused, na"),
        (["--formulation", "native"], "run W-DSNAS8: formulation 'native' cannot compute this run"),
        (["--only", "WI-A,WI-X"], "unknown artefact 'WI-X'"),
        (["--only", "WI-C"], "WI-C exists in the matrix but no notebook makes it yet. Allowed: WI-A, WI-B."),
        (["--only", "WI-A,,"], "commas between them"),
        (["--only", "SN-*"], "unknown artefact 'SN-*'. Allowed: WI-A, WI-B."),
        (["--paper", "wirin"], "unknown paper 'wirin'; did you mean 'wiring'? Allowed: wiring."),
        (["--paper", ""], "give a name, not nothing"),
        (["--out", ""], "give a name, not nothing"),
        (["--out", "~nosuchuser/x"], "the home folder of somebody who is not known here"),
        (["--seeds", "1,x"], "give seeds with commas between them, as in 5,6, not '1,x'"),
        (["--seeds", "100"], "without 100 to 109, which chose the settings; not 100."),
        (["--seeds", "4611686018427387904"], "not 4611686018427387904."),
        (["--device", "gpu"], "unknown device 'gpu'. Allowed: cpu; cuda"),
        (["--jobs", "0"], "give a whole number from 1, not '0'"),
        (["--jobs", "two"], "give a whole number from 1, not 'two'"),
        (["--prof", "smoke"], "unrecognized arguments: --prof"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    project: Project, capsys: pytest.CaptureFixture[str], asked: list, arguments: list[str], message: str
) -> None:
    assert __main__.main(["figures", "--profile", "smoke", "--only", "WI-A", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert asked == []


def test_the_profile_is_checked_where_nothing_is_computed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(papers, "artefacts", lambda: fake_project.artefacts().assign(runs=""))
    with pytest.raises(UserError, match="unknown profile 'labtop'"):
        Plan("labtop", out=project.out)


def test_a_damaged_artefact_that_is_made_anew_does_not_matter(project: Project) -> None:
    project.has("WI-A", 5.0)
    (project.out / "wiring" / "WI-A.json").write_text("{")
    assert project.figures("WI-A") == 0
    assert fake_project.value(project.out, "WI-A") == 1.0


def test_a_damaged_artefact_that_fails_anew_fails_the_ledger_and_not_the_summary(project: Project) -> None:
    project.has("WI-B", 5.0)
    (project.out / "wiring" / "WI-B.json").write_text("{")
    write(project.notebooks, "02_other", SAVE, "1 / 0")
    assert project.figures() == 1
    assert "ledger.csv: failed: " in project.text
    assert "WI-B.json is damaged" in project.text
    assert "2 of 3 failed" in project.text


@pytest.mark.parametrize(
    ("profile", "formulation", "folder"),
    [
        ("laptop", "", "checkout/figures"),
        ("laptop", "fused", "checkout/figures"),
        ("laptop", "plain", "store/out/laptop-plain"),
        ("smoke", "", "store/out/smoke"),
        ("smoke", "plain", "store/out/smoke-plain"),
    ],
)
def test_the_committed_figures_are_of_laptop_and_fused(
    project: Project, monkeypatch: pytest.MonkeyPatch, profile: str, formulation: str, folder: str
) -> None:
    root = project.store.parent
    monkeypatch.setattr(plan, "repository", lambda: root / "checkout")
    assert Plan(profile, formulation=formulation, only=["WI-A"]).out == root / folder


def test_a_full_disk_loses_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the driver's own process meets a full disk, when it publishes."""
    project.has("WI-A", 5.0)

    written: list[object] = []

    def full(file: object) -> None:
        written.append(file)
        if len(written) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert project.figures("WI-A") == 1
    assert "WI-A: failed: cannot save WI-A in" in project.text
    assert "no space left on device" in project.text
    assert fake_project.value(project.out, "WI-A") == 5.0
    assert len(list((project.out / "wiring").iterdir())) == 3


STOPPED = """
import sys, fake_project
from pathlib import Path
from nas_core import __main__, papers
from nas_core.driver import figures as driver, plan
papers.artefacts, papers.claims = fake_project.artefacts, fake_project.claims
driver.obtain = lambda configs, **_: None
plan.notebooks_folder = lambda: Path(sys.argv[1])
sys.exit(__main__.main(["figures", "--profile", "smoke", "--jobs", "2", "--out", sys.argv[2]]))
"""


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["Ctrl-C", "kill -9"])
def test_stopped_in_the_middle_it_leaves_nothing_half_done(project: Project, how: signal.Signals, code: int) -> None:
    project.has("WI-B", 2.0)
    pid = project.store / "pid"
    slow = f'import os, pathlib, time; pathlib.Path("{pid}").write_text(str(os.getpid())); time.sleep(60)'
    write(project.notebooks, "02_other", SAVE, 'save("WI-B", 9.0)', slow)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", STOPPED, str(project.notebooks), str(project.out)]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what it puts in the background, these tests perhaps, deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait(lambda: pid.exists() and pid.read_text() and (project.out / "wiring" / "WI-A.json").exists())
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in said
    wait(lambda: not Path(f"/proc/{pid.read_text()}").exists(), seconds=20)  # the kernel ends too
    assert fake_project.value(project.out, "WI-A") == 1.0, "what was done is kept"
    assert fake_project.value(project.out, "WI-B") == 2.0
    assert [path for path in project.out.rglob("*") if path.name.startswith(".")] == []
    write(project.notebooks, "02_other", SAVE, 'save("WI-B", 4.0)')
    assert project.figures("WI-B") == 0
    assert fake_project.value(project.out, "WI-B") == 4.0
    assert list((project.store / "out" / "smoke" / "unfinished").glob("*/*")) == []


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until ``condition`` is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def chosen(**choice: object) -> list[str]:
    """The artefacts of a plan."""
    return list(Plan("smoke", **choice).artefacts)  # type: ignore[arg-type]


def test_artefacts_are_chosen_by_paper_and_pattern(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    table = fake_project.artefacts()
    table.loc["WI-B", "paper"] = "snas"
    monkeypatch.setattr(papers, "artefacts", lambda: table)
    assert chosen(out=project.out) == chosen(only=["WI-*"], out=project.out) == ["WI-A", "WI-B"]
    assert chosen(only=["*-B", "WI-A"], out=project.out) == ["WI-A", "WI-B"]
    assert chosen(paper="snas", out=project.out) == ["WI-B"]
    assert chosen(paper="wiring", only=["WI-[A-C]"], out=project.out) == ["WI-A"]
    assert list(Plan("smoke", paper="snas", out=project.out).notebooks) == ["02_other"]
    with pytest.raises(UserError, match=r"^unknown artefact 'WI-A'.* Allowed: WI-B\.$"):
        chosen(paper="snas", only=["WI-A"], out=project.out)
    table.loc["WI-B", "notebook"] = ""
    with pytest.raises(UserError, match=r"^no notebook makes an artefact of snas yet\.$"):
        chosen(paper="snas", out=project.out)


@pytest.fixture
def with_study(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The fake project, and a study of one artefact that fails whenever it is made."""
    study = {"paper": papers.STUDY, "kind": papers.STUDY, "notebook": "10_study", "runs": "W-DARTS8", "timed": False}
    table, claims = fake_project.artefacts().astype(object), fake_project.claims()
    table.loc["ST-A"] = {"shows": "s", **study}
    claims.loc["C-Ay"] = claims.loc["C-Ax"].replace("WI-A", "ST-A")
    monkeypatch.setattr(papers, "artefacts", lambda: table)
    monkeypatch.setattr(papers, "claims", lambda: claims)
    write(project.notebooks, "10_study", "1 / 0")
    place = project.out / "study"
    place.mkdir(parents=True)
    told = {"verdict": "fails", "value": 1.0, "threshold": "> 0", "seeds": [0], "interval": None}
    (place / "ST-A.json").write_text(json.dumps({"profile": "laptop", "claims": [{"id": "C-Ay", **told}]}))
    return project


def test_a_study_is_left_alone_unless_asked_for(with_study: Project, asked: list) -> None:
    assert with_study.figures() == 0
    assert {config.run for config in asked} == {"W-SNAS8", "W-DSNAS8"}
    assert "10_study" not in with_study.text
    ledger = pd.read_csv(with_study.out / "ledger.csv", index_col="id")
    assert ledger.loc["C-Ay", ["verdict", "profile"]].tolist() == ["fails", "laptop"], "its committed verdict"
    with pytest.raises(UserError, match=r"^ST-A belongs to a study, which is made with --study only\.$"):
        with_study.figures("ST-A")


def test_where_there_is_no_study_it_is_said(project: Project) -> None:
    with pytest.raises(UserError, match=r"^no notebook makes a study yet\.$"):
        Plan("smoke", study=True, out=project.out)


def test_a_study_is_made_by_itself(with_study: Project, asked: list) -> None:
    assert driver.figures(Plan("smoke", study=True, out=with_study.out), with_study.said.append) == 1
    assert {config.run for config in asked} == {"W-DARTS8"}
    assert "10_study: failed: in the cell that begins '1 / 0'" in with_study.text
    assert "01_good" not in with_study.text
    write(with_study.notebooks, "10_study", SAVE.replace('"wiring"', '"study"'), 'save("ST-A", 2.0)')
    assert driver.figures(Plan("smoke", study=True, out=with_study.out), with_study.said.append) == 0
    assert "all 1 made" in with_study.text


def test_other_seeds_reach_runs_and_notebooks_and_no_committed_figure(
    project: Project, asked: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project.notebooks, "01_good", SAVE, "assert seeds == [5, 6], seeds", 'save("WI-A", 1.0)')
    plan_of_two = Plan("smoke", only=["WI-A"], seeds=[5, 6])
    assert plan_of_two.out == project.store / "out" / "smoke-seeds-5-6"
    assert driver.figures(plan_of_two, project.said.append) == 0, project.text
    assert {config.seed for config in asked} == {5, 6}
    assert "profile smoke, seeds 5, 6: 1 artefacts" in project.text
    monkeypatch.setattr(plan, "repository", lambda: project.store)
    for choice in ({"seeds": [5]}, {"device": "cuda"}):
        assert Plan("laptop", only=["WI-A"], **choice).out.parent == project.store / "out"


def test_device_is_the_option_or_the_variable(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def devices(device: str = "") -> set[str]:
        return {config.device for config in Plan("smoke", only=["WI-A"], device=device, out=project.out).configs}

    assert devices() == {"cpu"}
    assert devices("cuda:1") == {"cuda:1"}
    monkeypatch.setenv("NAS_DEVICE", "cuda")
    assert devices() == {"cuda"}
    assert devices("cpu") == {"cpu"}
    monkeypatch.setenv("NAS_DEVICE", "gpu")
    with pytest.raises(UserError, match="unknown device 'gpu'"):
        devices()


def test_explain_says_what_would_be_done_and_does_nothing(
    project: Project, asked: list, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["figures", "--profile", "smoke", "--only", "WI-A", "--out", str(project.out), "--explain"]
    assert __main__.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0].partition("-smoke-")[0] for line in lines[1:-2]] == ["W-DSNAS8", "W-DSNAS8"]
    assert all(line.endswith("compute: no record") for line in lines[1:-2])
    assert lines[-2:] == ["  01_good: executed, for WI-A", "0 of 2 runs are there; nothing was computed"]
    assert asked == []
    assert not project.out.exists()
    assert not project.store.exists()


@pytest.mark.parametrize(
    ("kind", "todo"),
    [("found", "read"), ("changed", "replay, and compute if that differs"), ("needs", "decide later")],
)
def test_explain_tells_states_apart(
    project: Project, monkeypatch: pytest.MonkeyPatch, kind: str, todo: str
) -> None:
    monkeypatch.setattr(driver, "explain", lambda configs: [(each, State(kind, "so it is")) for each in configs])
    driver.explained(Plan("smoke", only=["WI-A"], out=project.out), project.said.append)
    assert project.text.count(f" {todo}: so it is") == 2
    assert f"{2 * (kind == 'found')} of 2 runs are there" in project.text
