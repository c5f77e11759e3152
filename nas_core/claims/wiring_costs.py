"""Claims of the wiring paper on its costs: their signs before and after training, and what they add up to."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import stats

from nas_core.cells.topology import Topology
from nas_core.claims.check import check
from nas_core.claims.measures import rank_correlation, settings
from nas_core.claims.nulls import Control, Exchanged, Shuffled
from nas_core.claims.shuffled_tables import ShuffledTables
from nas_core.runs import Record
from nas_core.trainers.settings import Network

BELOW = -3.0  # standard errors below which a mean cost is negative


def network(record: Record) -> Network:
    """The supernet of a search or of a probe."""
    of_run = record.config
    found = getattr(of_run, "network", None)
    assert isinstance(found, Network), f"{of_run.run} has no supernet"
    return found


def cell_graph(record: Record) -> Topology:
    """The cell's graph."""
    return network(record).topology()


# ---------------------------------------------------------------------------------------------- mean costs


def by_network(record: Record, layer: int | None = None) -> np.ndarray:
    """Mean cost of every operation on every edge in every network, (networks, edges, ops); nan if never drawn.

    In one ``layer``, or of a path through all cells, which share it: the sum over the cells.
    """
    costs, counts = record.array("cost_sum"), record.array("cost_n")
    if layer is None:
        total = costs.sum(1)
        count = counts[:, 0]
    else:
        total = costs[:, layer]
        count = counts[:, layer]
    return total / _or_nan(count)


def _or_nan(count: np.ndarray) -> np.ndarray:
    """Counts, nan in the place of 0."""
    return np.where(count == 0, np.nan, count)


def mean_cost(record: Record, layer: int | None = None) -> np.ndarray:
    """Mean cost of every operation on every edge over networks, (edges, ops), in nats."""
    return _mean(by_network(record, layer))


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over networks, (networks, ...), of those that have a number; nan where none has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=0)


def standard_error(record: Record, layer: int | None = None) -> np.ndarray:
    """That of :func:`mean_cost`: over networks; over batches where there is one, the cells taken as independent."""
    means = by_network(record, layer)
    if len(means) > 1:
        return stats.sem(means, axis=0, nan_policy="omit")
    of_layer = slice(None) if layer is None else [layer]
    count = _or_nan(record.array("cost_n"))[0, of_layer]
    mean = record.array("cost_sum")[0, of_layer] / count
    mean_square = record.array("cost_sq")[0, of_layer] / count
    variance = mean_square - mean**2
    of_means = (variance / count).clip(0)
    return np.sqrt(of_means.sum(0))


def operations(record: Record) -> list[int]:
    """Positions of the candidates other than none."""
    return [k for k, op in enumerate(network(record).candidates) if op != "none"]


def largest_of_cells(record: Record) -> np.ndarray:
    """The largest absolute mean cost of an operation on an edge in every cell, (layers,)."""
    by_cell = record.array("cost_sum") / _or_nan(record.array("cost_n"))
    size = np.abs(_mean(by_cell))
    return np.nanmax(size, axis=(1, 2))


def positive_share(record: Record) -> float:
    """Share of positive mean costs among the operations other than none."""
    means = mean_cost(record)[:, operations(record)]
    known = means[~np.isnan(means)]
    return float((known > 0).mean())


TRAINED = "the same number after training"
UNTRAINED = "the same number before training"


@check("C-W4a", "W-MC1i W-MC1c")
@check("C-W15a", "W-MC8mi W-MC8mc")
@check("C-W30a", "W-CRB1i W-CRB1c")
@check("C-W31a", "W-CBR1i W-CBR1c")
def cost_of_none(before: Record, after: Record) -> float:
    """Largest absolute cost of none, in nats."""
    none = network(before).candidates.index("none")
    largest = []
    for record in (before, after):
        of_none = record.array("cost_sum")[..., none]
        largest.append(float(np.abs(of_none).max()))
    return max(largest)


@check("C-W4b", "W-MC1i", null=Control(TRAINED, "W-MC1c"))
@check("C-PO3", "W-MC1i", null=Control(TRAINED, "W-MC1c"))
@check("C-W15b", "W-MC8mi", null=Control(TRAINED, "W-MC8mc"))
@check("C-W30b", "W-CRB1i", null=Control(TRAINED, "W-CRB1c"))
@check("C-W31b", "W-CBR1i", null=Control(TRAINED, "W-CBR1c"))
def positive_before(record: Record) -> float:
    """Share of positive mean costs; 0 if one of them is below -3 standard errors."""
    kept = operations(record)
    mean = mean_cost(record)[:, kept]
    error = standard_error(record)[:, kept]
    distance = mean / error
    if np.nanmin(distance) < BELOW:
        return 0.0
    return positive_share(record)


@check("C-W4c", "W-MC1c", null=Control(UNTRAINED, "W-MC1i"))
@check("C-PO3b", "W-MC1c", null=Control(UNTRAINED, "W-MC1i"))
@check("C-W15c", "W-MC8mc", null=Control(UNTRAINED, "W-MC8mi"))
@check("C-W30c", "W-CRB1c", null=Control(UNTRAINED, "W-CRB1i"))
@check("C-W31c", "W-CBR1c", null=Control(UNTRAINED, "W-CBR1i"))
def negative_after(record: Record) -> float:
    """Share of negative mean costs."""
    return 1 - positive_share(record)


def cells(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle which cell is which: (networks or epochs, layers, ...)."""
    return array[:, rng.permutation(array.shape[1])]


CELLS = Shuffled("cells shuffled", cells)


@check("C-W15", "W-MC8mi W-MC8mc", null=CELLS)
@check("C-W16a", "W-MC8oi W-MC8oc", null=CELLS)
def last_against_others(before: Record, after: Record) -> float:
    """Largest absolute mean cost in the last cell over that in any other; the smaller of before and after training."""
    ratios = []
    for record in (before, after):
        largest = largest_of_cells(record)
        ratios.append(float(largest[-1] / largest[:-1].max()))
    return min(ratios)


@check("C-W16", "W-MC8oi W-MC8oc", null=Exchanged("before and after exchanged"))
def fewer_positive_after(before: Record, after: Record) -> float:
    """Share of positive mean costs before training minus that after it."""
    return positive_share(before) - positive_share(after)


# ---------------------------------------------------------------------------------------------- sums of costs


def cell_sum(record: Record, layer: int = -1) -> np.ndarray:
    """Summed cost of the edges of a cell, mean over batches, (epochs,) or (networks,), in nats."""
    return record.array("edge_cost")[:, layer].sum(-1)


def passed_on(record: Record, layer: int = -1) -> np.ndarray:
    """What skip passes on along intermediate edges of a cell, and a sum counts twice, (epochs,), in nats."""
    return record.array("skip_leak")[:, layer]


def of_images(record: Record, column: str, group: str = "all") -> np.ndarray:
    """Mean L, H, C or accuracy ("acc") of ``all``, ``correct`` or ``wrong`` training images, (epochs,)."""
    table = record.table("losses")
    rows = table[(table["split"] == "train") & (table["group"] == group)]
    return rows[column].to_numpy()


def surplus(record: Record) -> np.ndarray:
    """L - H, mean over all training images, (epochs,), in nats: what the costs of the last cell add up to."""
    return of_images(record, "L") - of_images(record, "H")


def residual(record: Record) -> np.ndarray:
    """The summed cost of the last cell, less what skip passes on, minus L - H, (epochs,) or (networks,), in nats."""
    return cell_sum(record) - passed_on(record) - surplus(record)


def epochs_of_arrays(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle all epochs, (epochs, ...)."""
    return array[rng.permutation(len(array))]


EPOCHS_OF_COSTS = Shuffled("epochs shuffled", epochs_of_arrays)
EPOCHS_OF_LOSSES = ShuffledTables("epochs shuffled", epochs_of_arrays)


@check("C-W7a", "W-TH1", null=EPOCHS_OF_COSTS)
@check("C-PO7b", "W-TH1", null=EPOCHS_OF_COSTS)
def turns_negative(record: Record) -> float:
    """The smaller of the summed cost at the start and its negative at the end, in nats."""
    total = cell_sum(record)
    return float(min(total[0], -total[-1]))


@check("C-W7b", "W-TH1", null=EPOCHS_OF_COSTS)
def goes_with_the_loss(record: Record) -> float:
    """The smaller of the summed cost's rank correlations with the loss and, negated, with the accuracy."""
    total = cell_sum(record)
    with_loss = stats.spearmanr(total, of_images(record, "L")).statistic
    with_accuracy = stats.spearmanr(total, of_images(record, "acc")).statistic
    return float(min(with_loss, -with_accuracy))


@check("C-W7d", "W-TH1", null=EPOCHS_OF_COSTS)
def trend_of_the_sum(record: Record) -> float:
    """Rank correlation of the summed cost with the epoch."""
    return rank_correlation(cell_sum(record))


@check("C-W7c", "W-TH1")
def residual_of_the_sum(record: Record) -> float:
    """Largest deviation in an epoch of the summed cost, less what skip passes on, from L - H.

    Relative to the sum of the edges' costs without their signs.
    """
    size = record.array("edge_size")[:, -1]
    share = np.abs(residual(record)) / size
    return float(share.max())


@check("C-W4d", "W-MC1i W-MC1c")
def residual_of_probes(before: Record, after: Record) -> float:
    """The same of all batches of a probe, the larger one of before and after training."""
    found = []
    for record in (before, after):
        size = record.array("edge_size")[:, -1]
        found.append(abs(residual(record).mean()) / size.mean())
    return float(max(found))


def worst_batch(record: Record, layer: int) -> float:
    """Largest residual of a batch in a cell, relative to the costs of its edges without sign, mean over batches."""
    share = record.array("residual")[:, layer] / record.array("edge_size")[:, layer]
    return float(share.max())


@check("C-W19a", "W-TH8m")
def worst_batch_of_second_last(record: Record) -> float:
    """That of the second-last cell, whose edges sum to what skip passes on."""
    return worst_batch(record, -2)


@check("C-W19b", "W-TH8m")
def worst_batch_of_last(record: Record) -> float:
    """That of the last cell, whose edges sum to L - H and what skip passes on."""
    return worst_batch(record, -1)


@check("C-W19c", "W-TH8m", null=CELLS)
def second_last_against_last(record: Record) -> float:
    """Absolute cost sum of the second-last cell over that of the last one, both averaged over the epochs."""
    second_last = np.abs(cell_sum(record, -2))
    last = np.abs(cell_sum(record, -1))
    return float(second_last.mean() / last.mean())


# ---------------------------------------------------------------------------------------------- L, H and C


@check("C-W21a", "W-TH1x")
def deviation_of_c(record: Record) -> float:
    """Largest deviation of C from L - H in an epoch, in nats."""
    deviation = of_images(record, "C") - surplus(record)
    return float(np.abs(deviation).max())


@check("C-W21b", "W-TH1x", null=EPOCHS_OF_LOSSES)
def loss_falls_and_c_turns(record: Record) -> float:
    """The smallest of the fall of the loss, C at the start and -C at the end, in nats."""
    loss = of_images(record, "L")
    cost = of_images(record, "C")
    fall = loss[0] - loss[-1]
    return float(min(fall, cost[0], -cost[-1]))


@check("C-W24a", "W-TH1x")
def largest_cost_of_correct(record: Record) -> float:
    """Largest mean cost of correct images in an epoch, in nats."""
    return float(of_images(record, "C", "correct").max())


def mean_cost_of_correct(record: Record) -> float:
    """Cost of correct images, mean over the epochs, in nats."""
    return float(of_images(record, "C", "correct").mean())


@check("C-W24b", "W-TH1x", null=Control("images that are classified correctly", "W-TH1x", mean_cost_of_correct))
def mean_cost_of_wrong(record: Record) -> float:
    """Cost of wrong images, mean over the epochs, in nats."""
    return float(of_images(record, "C", "wrong").mean())


@check("C-W24c", "W-TH1x", null=EPOCHS_OF_LOSSES)
def late_trend_of_correct(record: Record) -> float:
    """Rank correlation of the cost of correct images with the epoch over the last third."""
    late = max(2, settings(record).epochs // 3)
    cost = of_images(record, "C", "correct")
    return rank_correlation(cost[-late:])
