"""The command line, ``python -m nas_core``: figures, sweep, notebooks, claims, genotype, latency, native, runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from nas_core import plugins
from nas_core.errors import UserError
from nas_core.files import check_system

BAD_INPUT, INTERRUPTED = 2, 130


class Parser(argparse.ArgumentParser):
    """Options are written out in full; a mistake is one sentence."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found wrong, for :func:`main` to print."""
        raise UserError(f"{message} (`{self.prog} --help` shows what is allowed)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 all went well, 1 something failed, 2 bad input, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        check_system()
        args = parser(runs=arguments[:1] == ["runs"]).parse_args(arguments)
        plugins.load_all()
        return args.call(args)
    except UserError as error:
        print(f"nas_core: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a missing permission
        print(f"nas_core: {error.strerror or error}: {error.filename or 'no file named'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nas_core: interrupted; what was done is kept, and the same command goes on from there", file=sys.stderr)
        return INTERRUPTED


def parser(*, runs: bool) -> Parser:
    """All commands; the arguments of ``runs`` only if wanted, since they take torch to import."""
    top = Parser(prog="python -m nas_core", description="Figures and tables of five papers, from real runs.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    _add_figures(commands)
    _add_sweep(commands)

    refresh = commands.add_parser("notebooks", help="refresh the committed notebooks from the ones executed at laptop")
    refresh.set_defaults(call=_notebooks)

    claims = commands.add_parser("claims", help="every claim with its verdict in figures/; 1 if an exact one is open")
    claims.add_argument("--grade", help="X (exact), S (statistical) or R (reference)")
    claims.add_argument("--paper", help="snas, wiring, mixpath or darts-proxylessnas")
    claims.set_defaults(call=_claims)

    genotype = commands.add_parser("genotype", help="draw a genotype and count its networks for CIFAR and ImageNet")
    genotype.add_argument("genotype", metavar="FILE_OR_TEXT", help="Genotype(...), or the name of a released one")
    genotype.add_argument("--classes", type=_size, default=10, help="of the CIFAR network; default: 10")
    genotype.add_argument("--channels", type=_size, default=36, help="of its first cell; default: 36")
    genotype.add_argument("--layers", type=_size, default=20, help="its cells; default: 20")
    genotype.add_argument("--side", type=_size, default=32, help="of its images, in pixels; default: 32")
    genotype.add_argument("--in-channels", type=_size, default=3, help="of its images; default: 3")
    genotype.add_argument("--png", type=_picture, metavar="FILE", help="where to draw it, as .png or .svg")
    genotype.set_defaults(call=_genotype)

    native = commands.add_parser("native", help="build the native formulation of the supernet, half a minute")
    native.set_defaults(call=_native)

    latency = commands.add_parser("latency", help="measure the latency of every block of the chains on this machine")
    latency.add_argument("--out", type=_path, metavar="FILE", help="default: latency.json among the records")
    latency.set_defaults(call=_latency)

    if runs:
        from nas_core.runs.cli import add_arguments

        add_arguments(commands)
    else:
        commands.add_parser("runs", help="look after the record store")
    return top


def _add_figures(commands: Any) -> None:
    figures = commands.add_parser("figures", help="make tables and figures from runs, computing what is missing")
    figures.add_argument("--profile", default="laptop", help="smoke, laptop (the default) or paper")
    figures.add_argument(
        "--formulation",
        default="",
        metavar="NAME",
        help="plain, fused or native, for all runs but those with the hypergradient 'exact', which stay plain; "
        "by default each run's own, fused where it can",
    )
    figures.add_argument("--paper", type=_filled, help="only artefacts of this paper, as in snas")
    figures.add_argument("--study", action="store_true", help="the studies that go beyond the papers, and nothing else")
    figures.add_argument(
        "--only", type=_ids, default=[], metavar="ID,...", help="only these artefacts, as in WI-F12 or 'WI-*'"
    )
    figures.add_argument("--seeds", type=_seeds, default=[], metavar="N,...", help="default: those the profile reports")
    figures.add_argument("--device", type=_filled, help="cpu, cuda, cuda:1, ...; default: $NAS_DEVICE, or cpu")
    figures.add_argument("--jobs", type=_jobs, metavar="N", help="runs, and notebooks, at once; default: the cores")
    figures.add_argument(
        "--cluster",
        type=_path,
        metavar="FILE",
        help="compute missing runs as jobs of Slurm, with the partition, account, cpus, gpus, memory_gb and minutes of "
        "this TOML file; --jobs then counts notebooks only",
    )
    figures.add_argument("--explain", action="store_true", help="only say what would be computed, and why")
    figures.add_argument(
        "--out",
        type=_path,
        metavar="DIR",
        help="default: figures at laptop, else .runs/out/PROFILE; with another formulation, device or seeds, "
        ".runs/out/PROFILE-NAME",
    )
    figures.set_defaults(call=_figures)


def _add_sweep(commands: Any) -> None:
    sweep = commands.add_parser("sweep", help="a run at several values of its settings, as one table (CSV)")
    sweep.add_argument("run", metavar="RUN", help="id of the run, as in W-DSNAS8")
    sweep.add_argument(
        "--set",
        action="append",
        default=[],
        dest="values",
        metavar="SETTING=VALUE,...",
        help="a setting by dotted name and its values, as in alpha.lr=0.01,0.03; all combinations are computed",
    )
    sweep.add_argument("--seeds", type=_seeds, default=[], metavar="N,...", help="default: 0")
    sweep.add_argument("--profile", default="laptop", help="smoke, laptop (the default) or paper")
    sweep.add_argument("--jobs", type=_jobs, metavar="N", help="runs at once; default: the cores")
    sweep.add_argument("--table", default="", metavar="NAME", help="a table of the runs; default: the list of runs")
    sweep.add_argument("--out", type=_path, metavar="FILE", help="default: standard output")
    sweep.set_defaults(call=_sweep)


def _ids(text: str) -> list[str]:
    ids = [part.strip() for part in text.split(",")]
    if not all(ids):
        raise argparse.ArgumentTypeError(f"give artefact ids with commas between them, as in WI-F1,WI-F3, not {text!r}")
    return ids


def _seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"give seeds with commas between them, as in 5,6, not {text!r}")
    return [int(part) for part in parts]


def _filled(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("give a name, not nothing")
    return text


def _path(text: str) -> Path:
    return Path(_filled(text))


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give a whole number from 1, not {text!r}")
    return int(text)


def _size(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"give a whole number from 1 to 10000, not {text!r}")
    return int(text)


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".png", ".svg"):
        raise argparse.ArgumentTypeError(f"give a file that ends in .png or .svg, not {text!r}")
    return path


def _figures(args: argparse.Namespace) -> int:
    from nas_core.driver.figures import explained, figures
    from nas_core.driver.plan import Plan

    plan = Plan(
        args.profile,
        formulation=args.formulation,
        seeds=args.seeds,
        device=args.device or "",
        only=args.only,
        paper=args.paper or "",
        study=args.study,
        jobs=args.jobs,
        cluster=args.cluster,
        out=args.out,
    )
    return explained(plan) if args.explain else figures(plan)


def _sweep(args: argparse.Namespace) -> int:
    from nas_core.driver.sweep import sweep_command

    return sweep_command(
        args.run,
        args.values,
        profile=args.profile,
        seeds=args.seeds,
        jobs=args.jobs,
        table=args.table,
        out=args.out,
    )


def _notebooks(args: argparse.Namespace) -> int:
    from nas_core.driver.refresh import refresh

    for path in refresh():
        print(f"refreshed notebooks/{path.name}")
    return 0


def _genotype(args: argparse.Namespace) -> int:
    from nas_core.cells.sizes import CIFAR, IMAGENET
    from nas_core.driver.genotypes import find, save_picture, size_lines
    from nas_core.report.genotypes import genotype_text

    given = {name: getattr(args, name) for name in ("classes", "channels", "layers", "side", "in_channels")}
    genotype = find(args.genotype)
    counts = size_lines(genotype, {"CIFAR": replace(CIFAR, **given), "ImageNet": IMAGENET})
    if args.png is not None:
        save_picture(genotype, args.png)
    print("\n".join([genotype_text(genotype), "", *counts]))
    return 0


def _native(args: argparse.Namespace) -> int:
    from nas_core.backends.native import build

    print(f"built {build()}")
    return 0


def _latency(args: argparse.Namespace) -> int:
    from nas_core.cells.latency import own_file, summary
    from nas_core.files import check_can_write, make_folder, write_atomic
    from nas_core.probes.latency import measure

    path = args.out or own_file()
    check_can_write(path.parent)
    table = measure(print)
    make_folder(path.parent)
    write_atomic(path, table.to_json().encode())
    print(f"measured {len(table.rows)} blocks and networks on {summary(table.machine)}: {path}")
    return 0


def _claims(args: argparse.Namespace) -> int:
    from nas_core import papers
    from nas_core.driver.ledger import counts, ledger, lines, unproven
    from nas_core.errors import choose

    folder = Path(__file__).parents[1] / "figures"
    table = ledger(folder)
    if args.grade is not None:
        table = table[table["grade"] == choose("grade", args.grade, papers.GRADES)]
    if args.paper is not None:
        table = table[table["paper"] == choose("paper", args.paper, papers.PAPERS)]
    print("\n".join([*lines(table), "", counts(table)]))
    if bad := unproven(table, folder):
        print(f"nas_core: exact claims of existing artefacts that do not hold: {', '.join(bad)}", file=sys.stderr)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
