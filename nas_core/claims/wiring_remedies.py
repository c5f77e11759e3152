"""Claims of our own on the wiring paper's open questions: remedies for the bias of none, and other biases."""

from itertools import product

import numpy as np

from nas_core.cells.topology import Topology
from nas_core.claims.check import check
from nas_core.claims.measures import none_index, none_prob, normal_prob, settings, share_dropped
from nas_core.claims.nulls import EDGES, OPERATIONS, Exchanged
from nas_core.claims.wiring import dropped_at_the_end, most_dropped_early, width_preference
from nas_core.runs import Record

PARAMETER_FREE = ("none", "skip_connect", "max_pool_3x3", "avg_pool_3x3")
REMEDIED = Exchanged("method and remedy exchanged")
COMPARED = Exchanged("the two methods exchanged")
PLACES = Exchanged("the two places exchanged")


@check("C-R1a", "W-DSNAS8-plain-r W-DSNAS8-cell-r", null=REMEDIED)
@check("C-R1b", "W-DSNAS8-plain-r W-DSNAS8-slow-r", null=REMEDIED)
def fewer_dropped_early(plain: Record, remedied: Record) -> float:
    """Largest share of dropped edges in the first third: of the plain method, minus that with a remedy."""
    return most_dropped_early(plain) - most_dropped_early(remedied)


@check("C-R1c", "W-DSNAS8-plain-r W-DSNAS8-warm-r", null=REMEDIED)
def fewer_dropped_ever(plain: Record, remedied: Record) -> float:
    """Largest share of dropped edges at any epoch: of the plain method, minus that with a remedy."""
    return most_dropped(plain) - most_dropped(remedied)


def most_dropped(record: Record) -> float:
    """Largest share of dropped edges after the start."""
    return float(share_dropped(record)[1:].max())


@check("C-R1d", "W-DSNAS8-cell-r", null=EDGES)
def still_wide(record: Record) -> float:
    """Share of dropped intermediate edges minus that of input edges, at the end."""
    return width_preference(record)


@check("C-R1e", "W-DSNAS8-plain-r W-DSNAS8-warm-r", null=REMEDIED)
@check("C-R1f", "W-DSNAS8-plain-r W-DSNAS8-slow-r", null=REMEDIED)
def less_wide(plain: Record, remedied: Record) -> float:
    """Share of dropped intermediate edges at the end: of the plain method, minus that with a remedy."""
    before = share_dropped(plain, "intermediate")[-1]
    after = share_dropped(remedied, "intermediate")[-1]
    return float(before - after)


@check("C-R1g", "W-DSNAS8-edge-r")
@check("C-R2e", "W-DARTS8-edge-r")
def none_moved(record: Record) -> float:
    """Largest change of P(none) on an edge since the start."""
    none = none_prob(record)
    change = np.abs(none - none[0])
    return float(change.max())


@check("C-R2a", "W-DARTS8-plain-r W-DARTS8-cal-r", null=REMEDIED)
@check("C-R2b", "W-DARTS8-plain-r W-DARTS8-cell-r", null=REMEDIED)
def fewer_dropped_at_the_end(plain: Record, remedied: Record) -> float:
    """Share of dropped edges at the end: of the plain method, minus that with a remedy."""
    return dropped_at_the_end(plain) - dropped_at_the_end(remedied)


@check("C-R2c", "W-DARTS8-warm-r", null=OPERATIONS)
def dropped_all_the_same(record: Record) -> float:
    """Share of edges whose argmax at the end is none."""
    return dropped_at_the_end(record)


@check("C-R2d", "W-DARTS8-plain-r W-DARTS8-cal-r", null=REMEDIED)
def level_left(plain: Record, calibrated: Record) -> float:
    """Mean absolute cost of the cell's output over the last half of the epochs: log10 of calibrated over plain."""
    ratio = _level(calibrated) / _level(plain)
    return float(np.log10(ratio))


def _level(record: Record) -> float:
    cost = np.abs(record.array("out_cost")[:, -1])
    half = len(cost) // 2
    return float(cost[half:].mean())


@check("C-R3a", "W-DSNAS8-cell-argmax-r W-DSNAS8-plain-argmax-r", null=REMEDIED)
@check("C-R3b", "W-DSNAS8-edge-argmax-r W-DSNAS8-plain-argmax-r", null=REMEDIED)
@check("C-R3c", "W-DSNAS8-warm-argmax-r W-DSNAS8-plain-argmax-r", null=REMEDIED)
@check("C-R3d", "W-DSNAS8-slow-argmax-r W-DSNAS8-plain-argmax-r", null=REMEDIED)
@check("C-R3e", "W-DARTS8-cell-argmax-r W-DARTS8-plain-argmax-r", null=REMEDIED)
@check("C-R3f", "W-DARTS8-edge-argmax-r W-DARTS8-plain-argmax-r", null=REMEDIED)
@check("C-R3g", "W-DARTS8-cal-argmax-r W-DARTS8-plain-argmax-r", null=REMEDIED)
@check("C-R3h", "W-DARTS8-cal-darts-r W-DARTS8-plain-darts-r", null=REMEDIED)
def better_child(remedied: Record, plain: Record) -> float:
    """Test accuracy of a retrained cell with a remedy, minus that of the plain method's, in points."""
    return 100 * (child_accuracy(remedied) - child_accuracy(plain))


def child_accuracy(record: Record) -> float:
    """Test accuracy after the last epoch of a retraining, a share."""
    table = record.table("accuracy")
    on_test = table.loc[table["split"] == "test", "acc"]
    return float(on_test.iloc[-1])


@check("C-R3i", "W-DSNAS8-plain-argmax-r W-RAND8-r", null=COMPARED)
@check("C-R3j", "W-DSNAS8-edge-argmax-r W-RAND8-r", null=COMPARED)
@check("C-R3k", "W-DARTS8-plain-darts-r W-RAND5-r", null=COMPARED)
@check("C-R3l", "W-DARTS8-cal-argmax-r W-RAND5-r", null=COMPARED)
def better_than_random(searched: Record, random: Record) -> float:
    """Test accuracy of a retrained cell that was searched, minus that of the best of random cells, in points."""
    return 100 * (child_accuracy(searched) - best_accuracy(random))


def best_accuracy(record: Record) -> float:
    """Test accuracy of the random cell with the best validation accuracy, a share."""
    return float(record.table("best").acc.iloc[-1])


@check("C-R4b", "W-BASE-full-r", null=PLACES)
def dearer_between_nodes(record: Record) -> float:
    """Trained cost of the edge between the nodes, minus that of the second node's input edges."""
    cost = trained_costs(record)
    between_nodes = cost[4]
    from_inputs = cost[2:4]
    return float(between_nodes.mean() - from_inputs.mean())


@check("C-R4c", "W-BASE-wide-r W-BASE-deep-r", null=Exchanged("the base architectures exchanged"))
def cheaper_in_a_deep_base(wide: Record, deep: Record) -> float:
    """Trained cost of the first node's edges in the wide base, minus that in the deep one."""
    in_wide = trained_costs(wide)[:2].mean()
    in_deep = trained_costs(deep)[:2].mean()
    return float(in_wide - in_deep)


def trained_costs(record: Record) -> np.ndarray:
    """Mean cost of every operation but none over the last third of the epochs, (edges, ops - 1); nan if never drawn."""
    last = max(1, settings(record).epochs // 3)
    total = record.array("cost_sum")[-last:].sum((0, 1))
    drawn = record.array("cost_n")[-last:].sum((0, 1))
    unknown = np.full_like(total, np.nan)
    mean = np.divide(total, drawn, out=unknown, where=drawn > 0)
    return np.delete(mean, none_index(record), axis=-1)


@check("C-R5a", "W-DSNAS8-shuffled-r", null=OPERATIONS)
def won_by_convolutions(record: Record) -> float:
    """Share of edges on which a convolution is the most probable operation but none, at the end."""
    names = [op for op in settings(record).network.candidates if op != "none"]
    won = [names[winner] for winner in winners(record)]
    convolutions = [op not in PARAMETER_FREE for op in won]
    return float(np.mean(convolutions))


def winners(record: Record) -> np.ndarray:
    """The most probable operation but none of every edge at the end, (edges,): its place among those."""
    at_the_end = normal_prob(record)[-1]
    others = np.delete(at_the_end, none_index(record), axis=-1)
    return others.argmax(-1)


def learning_shares(graph: Topology, none: np.ndarray) -> np.ndarray:
    """How often the operation that an edge draws has something to learn from, (edges,), by full enumeration.

    It is not none, and its source is not zero, as a node all of whose edges drew none or read zeros is. All nodes
    reach the output. ``none``: the probability of none on every edge, (edges,); fractions (dtype object) stay exact.
    """
    patterns = np.array(list(product((False, True), repeat=len(none))))  # which edges drew none
    of_edges = np.where(patterns, none, 1 - none)
    probability = of_edges.prod(axis=1)
    expected = probability[:, None] * _learning(graph, patterns)
    return expected.sum(0)


def _learning(graph: Topology, drew_none: np.ndarray) -> np.ndarray:
    """Which edges learn where those in ``drew_none`` drew none; both (patterns, edges), bool."""
    learning = np.zeros_like(drew_none)
    alive: dict[int, np.ndarray] = {}
    for node in range(graph.inputs):
        alive[node] = np.ones(len(drew_none), dtype=bool)
    for node in graph.intermediate:
        incoming = list(graph.incoming[node])
        for edge in incoming:
            source, _ = graph.edges[edge]
            learning[:, edge] = ~drew_none[:, edge] & alive[source]
        alive[node] = np.asarray(learning[:, incoming].any(axis=1))
    return learning
