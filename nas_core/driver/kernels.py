"""What a notebook's kernel finds around it: what the driver tells it, and nothing of the person's own settings."""

import os
from pathlib import Path

import matplotlib
from ipykernel.kernelspec import write_kernel_spec

from nas_core.choices import shown
from nas_core.driver.plan import Plan
from nas_core.runs import location

# These change pictures, kernels or warnings, or, as PYTHONOPTIMIZE does, take the assertions out of a notebook.
REMOVED = (
    "JUPYTER_CONFIG_PATH",
    "JUPYTER_PLATFORM_DIRS",
    "PYTHONBREAKPOINT",
    "PYTHONDEBUG",
    "PYTHONDEVMODE",
    "PYTHONINSPECT",
    "PYTHONMALLOCSTATS",
    "PYTHONOPTIMIZE",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONSTARTUP",
    "PYTHONTRACEMALLOC",
    "PYTHONVERBOSE",
    "PYTHONWARNINGS",
)


def neutral() -> dict[str, str]:
    """This process's variables without those of the person that change what a kernel does; our own for matplotlib."""
    found = {name: value for name, value in os.environ.items() if name not in REMOVED}
    found["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    found["MATPLOTLIBRC"] = str(Path(matplotlib.get_data_path()) / "matplotlibrc")  # comes before the person's file
    return found


def environment(plan: Plan, saved: Path) -> dict[str, str]:
    """The variables of a notebook's process; ``saved`` is the folder for its artefacts, in that of :func:`prepare`."""
    place = saved.parent
    found = neutral()
    ours = {
        "NAS_PROFILE": plan.choice.profile,
        "NAS_FORMULATION": plan.choice.formulation,
        "NAS_DEVICE": plan.choice.device,
        "NAS_OUT": str(saved),
        "NAS_DRIVER": shown(plan.out),
        "NAS_RUNS": str(location()),
        "OMP_NUM_THREADS": "1",  # notebooks side by side do not fight over the cores
        "TMPDIR": str(place),
        "IPYTHONDIR": str(place / "ipython"),  # no start-up files
        "JUPYTER_PATH": str(place / "jupyter"),  # comes before all other places where kernels may be
        "JUPYTER_CONFIG_DIR": str(place / "jupyter"),
        "JUPYTER_DATA_DIR": str(place / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
    }
    found.update(ours)
    return found


def prepare(place: Path) -> None:
    """Make the kernel ``python3`` of this very interpreter known in the folder ``place``."""
    write_kernel_spec(place / "jupyter" / "kernels" / "python3")
