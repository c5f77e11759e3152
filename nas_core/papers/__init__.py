"""What the papers say: artefacts, claims, printed tables and released cells, as package data with one loader.

Every CSV file of this folder is read once and checked when it is read; each caller gets a copy of its own.
"""

import operator
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import pandas as pd

from nas_core.errors import UserError, choose
from nas_core.registry import Registry

PAPERS = ("snas", "wiring", "mixpath", "darts-proxylessnas")
OWN = "own"  # in the place of a paper: claims that are ours, and what plugins register
STUDY = "study"  # in the place of a paper, and kind: what goes beyond the papers, made only when asked for
KINDS = ("figure", "table", "panel", "algorithm", "lemma", "item", STUDY)
GRADES = {"X": "exact", "S": "statistical", "R": "reference"}
PROFILES = ("smoke", "laptop", "paper")
PRINTED = (
    "snas_table1", "snas_table2", "snas_table3", "snas_text_numbers",
    "wiring_fig10b", "wiring_text_numbers",
    "mixpath_table1", "mixpath_table2", "mixpath_table3", "mixpath_text_numbers",
    "notes_text_numbers", "proxyless_released", "proxyless_nets",
    "counts",
)  # fmt: skip
OPERATIONS = {
    "sep3": "sep_conv_3x3", "sep5": "sep_conv_5x5", "sep7": "sep_conv_7x7",
    "dil3": "dil_conv_3x3", "dil5": "dil_conv_5x5",
    "max": "max_pool_3x3", "avg": "avg_pool_3x3",
    "skip": "skip_connect", "c7x1": "conv_7x1_1x7",
}  # fmt: skip
_ARTEFACT_COLUMNS = ("id", "paper", "kind", "shows", "notebook", "runs", "timed")
STATISTICS = ("", "mean", "median", "proportion", "number")  # of the seeds, or one number that sums up many draws
FAMILIES = ("", "P1", "P2", "P3")
SHORT = 60  # characters that a claim has on a picture
_CLAIM_COLUMNS = (
    "id", "artefact", "paper", "grade", "short", "sentence", "profile",
    "test", "statistic", "comparison", "bound", "unit", "family", "same_as",
)  # fmt: skip
COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


class Artefact(NamedTuple):
    """A figure or table of one's own, as a row of artefacts.csv; ``notebook``: the name of the session that saves it.

    ``runs``: the ids of the named runs that it is made from, with spaces between them.
    """

    shows: str
    notebook: str
    runs: str = ""
    kind: str = "figure"
    paper: str = OWN
    timed: str = "false"


class Claim(NamedTuple):
    """A claim of one's own, as a row of claims.csv.

    ``grade`` and ``profile``, the smallest at which it applies, are as there; the number that ``test`` describes must
    stand to ``bound``, in ``unit``, as ``comparison`` says. ``statistic``: what a statistical claim takes of the seeds.
    ``short``: the claim for a picture. ``family``: the hypotheses that are tested together. ``same_as``: the claim that
    has the same number and bound.
    """

    artefact: str
    sentence: str
    test: str
    comparison: str
    bound: float
    grade: str = "S"
    profile: str = "smoke"
    paper: str = OWN
    short: str = ""
    statistic: str = "mean"
    unit: str = ""
    family: str = ""
    same_as: str = ""


def _check_artefact(name: str, artefact: Artefact) -> None:
    _check_new(name, "artefacts.csv", _artefacts())
    check_artefacts(_rows({name: artefact}, _ARTEFACT_COLUMNS))


def _check_claim(name: str, claim: Claim) -> None:
    _check_new(name, "claims.csv", _claims())
    check_claims(_rows({name: claim}, _CLAIM_COLUMNS), artefacts())


def _check_new(name: str, file: str, table: pd.DataFrame) -> None:
    if name in table.index:
        raise UserError(f"{name} stands in {file} already; choose another id.")


def _rows(added: Mapping[str, Artefact | Claim], columns: Sequence[str]) -> pd.DataFrame:
    """What plugins have registered, as the CSV files have it."""
    rows = [{"id": name, **row._asdict()} for name, row in added.items()]
    return pd.DataFrame(rows, columns=list(columns), dtype=str)


ARTEFACTS: Registry[Artefact] = Registry("artefact", {}, check=_check_artefact)
CLAIMS: Registry[Claim] = Registry("claim", {}, check=_check_claim)


class ReleasedCell(NamedTuple):
    """A released cell as plain data: ``edges`` are (source, target, operation), ``output`` the concatenated nodes.

    Nodes 0 and 1 are the outputs of cells k-2 and k-1. An edge may occur twice (NASNet adds one pooling to itself).
    """

    edges: tuple[tuple[int, int, str], ...]
    output: tuple[int, ...]

    @property
    def nodes(self) -> int:
        """Number of intermediate nodes, those without any input included."""
        targets = [target for _, target, _ in self.edges]
        return max(*self.output, *targets) - 1


def artefacts() -> pd.DataFrame:
    """The 77 tables, figures, panels and items of the papers, and then those of our studies: paper, kind, shows, ...

    Further columns: notebook, runs (ids between spaces), timed. Those that plugins registered follow.
    """
    if not ARTEFACTS:
        return _artefacts().copy()
    added = check_artefacts(_rows(ARTEFACTS, _ARTEFACT_COLUMNS))
    return pd.concat([_artefacts(), added])


def choose_artefact(artefact: str) -> str:
    """``artefact`` if there is one of that id, otherwise a :class:`UserError` that names the nearest."""
    return choose("artefact", artefact, artefacts().index)


def artefact_and_part(name: str) -> tuple[str, str]:
    """``WI-F1-b`` is the part "b" of WI-F1, shown beyond the paper's item; WI-F1 is the item itself, part ""."""
    if name in artefacts().index:
        return name, ""
    artefact, _, part = name.rpartition("-")
    return artefact, part


def runs_of(notebook: str) -> list[str]:
    """The runs that artefacts.csv gives to the artefacts of ``notebook``, each once, in the order of the table."""
    table = artefacts()
    listed = table.loc[table["notebook"] == notebook, "runs"]
    return list(dict.fromkeys(" ".join(listed).split()))


def claims() -> pd.DataFrame:
    """Every claim by id: artefact ("" if tied to none), paper, grade, short and whole sentence, smallest profile.

    What ``test`` describes, by the ``statistic`` over seeds if the claim is statistical, must stand to ``bound``, in
    ``unit``, as ``comparison`` says; references have no bound (nan). ``family``: P1, P2, P3 or "". ``same_as``: the
    claim that has the same number and bound, or "". Those that plugins registered follow.
    """
    if not CLAIMS:
        return _claims().copy()
    added = check_claims(_rows(CLAIMS, _CLAIM_COLUMNS), artefacts())
    return pd.concat([_claims(), added])


def printed(name: str) -> pd.DataFrame:
    """A table as printed (``PRINTED`` lists the names); what is not printed is NaN among numbers, "" among words."""
    return _table(choose("printed table", name, PRINTED)).copy()


def released_genotypes() -> pd.DataFrame:
    """The released cells in compact notation: arch, cell (normal or reduce), edges, output (concatenated nodes)."""
    return _table("genotypes").copy()


def released_cells(arch: str) -> dict[str, ReleasedCell]:
    """The released ``normal`` and ``reduce`` cell of ``arch``, their operations by full names."""
    table = _table("genotypes")
    choose("released architecture", arch, table["arch"].unique())
    rows = table.loc[table["arch"] == arch, ["cell", "edges", "output"]].to_numpy(str).tolist()
    cells = {cell: parse_cell(edges, output) for cell, edges, output in rows}
    if len(rows) != 2 or set(cells) != {"normal", "reduce"}:
        raise UserError(f"genotypes.csv: {arch} must have one normal and one reduce cell, it has {sorted(cells)}.")
    return cells


def parse_cell(edges: str, output: str) -> ReleasedCell:
    """Read ``2<-1:sep3+0:skip ; 3<-(empty)`` and ``2-3``: per node its sources and operations; forward edges only."""
    found = []
    for node in edges.split(";"):
        target, _, sources = node.partition("<-")
        if sources.strip() == "(empty)":
            continue
        for source in sources.split("+"):
            found.append(_parse_edge(target.strip(), source.strip()))
    if not re.fullmatch(r"\d+(-\d+)*", output):
        raise UserError(f"cannot read {output!r} as the concatenated nodes of a cell; an example is 2-3-4-5")
    return ReleasedCell(tuple(found), tuple(int(node) for node in output.split("-")))


def _parse_edge(target: str, source: str) -> tuple[int, int, str]:
    match = re.fullmatch(r"(\d+):(\w+)", source)
    if match is None or not target.isdecimal():
        written = f"{target}<-{source}" if source else target
        raise UserError(f"cannot read {written!r} as edges of a cell; an example is 2<-0:sep3+1:skip")
    i, j = int(match[1]), int(target)
    op = OPERATIONS[choose("operation", match[2], OPERATIONS)]
    if not i < j or j < 2:
        raise UserError(f"edge {i} -> {j} must lead forward to an intermediate node, which is 2 or later.")
    return i, j, op


def check_artefacts(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``table``, indexed by id; raise :class:`UserError` on duplicate ids and on unknown papers and kinds."""
    table = _index(table, "artefacts.csv", _ARTEFACT_COLUMNS)
    _only(table, "artefacts.csv", paper=(*PAPERS, STUDY, OWN), kind=KINDS, timed=("true", "false"))
    halved = (table["paper"] == STUDY) != (table["kind"] == STUDY)
    for key in table.index[halved]:
        raise UserError(f"artefacts.csv: {key} must have both the paper and the kind {STUDY}, or neither.")
    return table.assign(timed=table["timed"] == "true")


def check_claims(table: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return ``table``, indexed by id; raise :class:`UserError` on what :func:`check_artefacts` and ``known`` reject.

    ``known``: the artefacts, indexed by id; a claim's artefact must be one of them, in the same paper or in a study, or
    empty. A claim that is not a paper's may be about an artefact of any.
    """
    table = _index(table, "claims.csv", _CLAIM_COLUMNS)
    _only(
        table,
        "claims.csv",
        paper=(*PAPERS, OWN),
        grade=tuple(GRADES),
        profile=PROFILES,
        statistic=STATISTICS,
        comparison=("", *COMPARISONS),
        family=FAMILIES,
        artefact=("", *known.index),
        same_as=("", *table.index),
    )
    bound = pd.to_numeric(table["bound"], errors="coerce")
    halved = bound.isna() != (table["comparison"] == "")
    for key in table.index[halved]:
        raise UserError(f"claims.csv: {key} needs both a comparison and a number as its bound, or neither.")
    for key in table.index[(table["grade"] == "S") & (table["statistic"] == "")]:
        raise UserError(f"claims.csv: {key} is statistical and needs a statistic: {', '.join(STATISTICS[1:])}.")
    for key in table.index[table["short"].str.len() > SHORT]:
        raise UserError(f"claims.csv: the short form of {key} has more than {SHORT} characters.")
    paper = table["artefact"].map(known["paper"])
    astray = paper.notna() & (paper != STUDY) & (table["paper"] != OWN) & (paper != table["paper"])
    for key in table.index[astray]:
        raise UserError(f"claims.csv: {key} and its artefact {table['artefact'][key]} belong to different papers.")
    blank = table["sentence"].str.strip() == ""
    if blank.any():
        raise UserError(f"claims.csv: no sentence for {', '.join(table.index[blank])}.")
    return table.assign(bound=bound)


@cache
def _artefacts() -> pd.DataFrame:
    return check_artefacts(_table("artefacts", dtype=str))


@cache
def _claims() -> pd.DataFrame:
    return check_claims(_table("claims", dtype=str), _artefacts())


@cache
def _table(name: str, dtype: type | None = None) -> pd.DataFrame:
    """A table of this folder; ``dtype`` is that of all columns, by default what each of them looks like."""
    try:
        with (files(__package__) / f"{name}.csv").open(encoding="utf-8") as file:
            table = pd.read_csv(file, keep_default_na=False, na_values=[""], dtype=dtype)
    except (OSError, ValueError) as error:
        raise UserError(f"the package's table {name}.csv is missing or damaged ({error}); install it again.") from error
    for column in table.select_dtypes(exclude=["number", "bool"]):
        table[column] = table[column].fillna("")
    return table


def _index(table: pd.DataFrame, file: str, columns: tuple[str, ...]) -> pd.DataFrame:
    if tuple(table.columns) != columns:
        found = ", ".join(map(str, table.columns))
        raise UserError(f"{file} must have the columns {', '.join(columns)}, not {found}.")
    twice = set(table["id"][table["id"].duplicated()])
    if twice:
        raise UserError(f"{file}: duplicate ids {', '.join(sorted(twice))}.")
    return table.set_index("id")


def _only(table: pd.DataFrame, file: str, **allowed: tuple[str, ...]) -> None:
    for column, values in allowed.items():
        others = table[~table[column].isin(values)]
        for key, value in others[column].items():
            choose(f"{column} of {key} in {file}", value, values)
