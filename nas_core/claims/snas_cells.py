"""Claims of SNAS on the cells that its searches find: resource constraints, and what the cells are worth retrained."""

from functools import cache

import numpy as np

from nas_core.cells.genotype import CellGenotype, Genotype, derive_argmax
from nas_core.cells.sizes import CIFAR, network_parameters
from nas_core.claims.check import check
from nas_core.claims.measures import settings, topology
from nas_core.claims.nulls import OPERATIONS, Exchanged, Relabelled
from nas_core.runs import Record

CONSTRAINTS = Exchanged("the two constraints exchanged")
SEARCHED = (
    "S-EVAL-mild",
    "S-EVAL-mod",
    "S-EVAL-agg",
    "S-EVAL-DARTS1",
    "S-EVAL-DARTS2",
    "S-EVAL-DARTSsl",
    "S-EVAL-ENAS",
)
RANDOM = ("S-EVAL-R1", "S-EVAL-R2", "S-EVAL-R3", "S-EVAL-R4")


def final_genotype(record: Record) -> Genotype:
    """What a search ends with by the rule of SNAS: the argmax of every edge, ``none`` included."""
    candidates = settings(record).network.candidates
    cells = [derive_argmax(prob, candidates, topology(record)) for prob in record.array("prob")[-1]]
    return Genotype(*cells)


def edges(genotype: Genotype) -> int:
    """Kept edges of the normal and the reduction cell."""
    return sum(len(cell.edges) for cell in both(genotype))


@cache
def size(genotype: Genotype) -> int:
    """Parameters of the network at CIFAR's size."""
    return network_parameters(genotype, CIFAR)


def both(genotype: Genotype) -> tuple[CellGenotype, CellGenotype]:
    """The normal and the reduction cell."""
    assert genotype.reduce is not None
    return genotype.normal, genotype.reduce


def similarity(genotype: Genotype) -> float:
    """Jaccard similarity of the edges that the two cells keep, whatever their operations; 1 if both keep none."""
    normal, reduce = (_pairs(cell) for cell in both(genotype))
    union = normal | reduce
    return len(normal & reduce) / len(union) if union else 1.0


def _pairs(cell: CellGenotype) -> set[tuple[int, int]]:
    """The edges that a cell keeps, whatever their operations."""
    return {(source, target) for source, target, _ in cell.edges}


def saving(before: float, after: float) -> float:
    """What ``after`` lacks of ``before``, as a share of it."""
    return 1 - after / before


def test_error(record: Record) -> float:
    """Test error of a retrained network after the last epoch, a share."""
    rows = record.table("accuracy")
    return 1 - float(rows["acc"][rows["split"] == "test"].iloc[-1])


@check("C-SN2b", "S-SNAS-mild", null=OPERATIONS)
def drops_and_keeps(mild: Record) -> float:
    """1 if an edge of the final child is none and an edge of its normal cell is kept, otherwise 0."""
    genotype = final_genotype(mild)
    dropped = edges(genotype) < 2 * len(topology(mild).edges)
    return float(dropped and len(genotype.normal.edges) > 0)


@check("C-SN5c", "S-SNAS-mild S-SNAS-agg", null=CONSTRAINTS)
def aggressive_saving(mild: Record, aggressive: Record) -> float:
    """The smaller of what the aggressive child saves of the mild one's edges and of its parameters, shares."""
    before, after = final_genotype(mild), final_genotype(aggressive)
    in_edges = saving(edges(before), edges(after))
    in_parameters = saving(size(before), size(after))
    return min(in_edges, in_parameters)


@check("C-SN7c", "S-SNAS-mod S-SNAS-mild", null=CONSTRAINTS)
def similarity_gain(moderate: Record, mild: Record) -> float:
    """Similarity of normal and reduction cell under the moderate minus that under the mild constraint."""
    return similarity(final_genotype(moderate)) - similarity(final_genotype(mild))


@check("C-SNT2c", "S-SNAS-mod S-SNAS-agg", null=CONSTRAINTS)
def parameter_saving(moderate: Record, aggressive: Record) -> float:
    """What the aggressive child saves of the moderate one's parameters, a share."""
    return saving(size(final_genotype(moderate)), size(final_genotype(aggressive)))


def worst_of_the_searched(errors: np.ndarray) -> float:
    """Largest of the errors of searched cells minus the mean of the random ones, in standard errors of that mean.

    ``errors``: (runs,), those of SEARCHED first.
    """
    searched, random = errors[: len(SEARCHED)], errors[len(SEARCHED) :]
    standard_error = random.std(ddof=1) / np.sqrt(len(random))
    return float((searched.max() - random.mean()) / standard_error)


EXCHANGED = Relabelled("all cells of a seed exchanged at random", test_error, worst_of_the_searched)


@check("C-SNT2d", " ".join(SEARCHED + RANDOM), null=EXCHANGED)
def worst_error(*retrained: Record) -> float:
    """Largest test error of a searched cell minus the mean of the random cells, in standard errors of that mean."""
    return worst_of_the_searched(np.array([test_error(record) for record in retrained]))
