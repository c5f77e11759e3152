"""Claims of the wiring paper on bi-level search: costs on the training half and on the search half."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nas_core.claims.check import check
from nas_core.claims.measures import rank_correlation
from nas_core.claims.nulls import DRAWS, Control, Exchanged, Outcome, Sample, summary
from nas_core.claims.seeds import estimate
from nas_core.papers import printed
from nas_core.probes.calibration import best_scale
from nas_core.runs import Record

RUN, ONE_LEVEL = "W-DTH8m", "W-DTH8m-slr"
HALVES = ("train", "search")
EXCHANGED = Exchanged("halves exchanged")
ROUND_OFF = 1e-9  # nats; nearer to zero C has no sign


def losses(record: Record, half: str, group: str = "all") -> pd.DataFrame:
    """L, H, C, acc and n of a half and group, in the order of the epochs."""
    table = record.table("losses")
    wanted = (table["split"] == half) & (table["group"] == group)
    return table[wanted].sort_values("epoch", kind="stable")


def series(record: Record, half: str, quantity: str, group: str = "all") -> np.ndarray:
    """L, H or C by epoch, (epochs,), in nats; nan where an epoch has no image of the group."""
    return losses(record, half, group)[quantity].to_numpy()


def last(count: int, share: int) -> slice:
    """The last 1 / ``share`` of ``count`` epochs, one at least."""
    return slice(count - max(1, count // share), count)


def at_the_end(record: Record, half: str, quantity: str, group: str) -> float:
    """The mean over all images of the group in the last tenth of the epochs; nan if there is none."""
    return mean_over_images(losses(record, half, group), quantity)


def mean_over_images(table: pd.DataFrame, quantity: str) -> float:
    """The mean over all images in the last tenth of the epochs of a table of :func:`losses`; nan if there is none."""
    late = table[last(len(table), 10)]
    late = late[late["n"] > 0]
    if late.empty:
        return float("nan")
    return float(np.average(late[quantity], weights=late["n"]))


def across(record: Record, quantity: str, group: str) -> float:
    """At the end: the search half minus the training half."""
    return at_the_end(record, "search", quantity, group) - at_the_end(record, "train", quantity, group)


def correlation(values: np.ndarray) -> float:
    """Rank correlation with the epoch of the epochs that have a number; nan if fewer than three have."""
    known = values[~np.isnan(values)]
    return rank_correlation(known) if len(known) > 2 else float("nan")


@dataclass(frozen=True)
class Reordered:
    """The epochs of the series that a measure looks at, in another order, the same one for all of them."""

    series: Callable[[Record], np.ndarray]  # of a record: (series, epochs)
    score: Callable[[np.ndarray], float]  # what the measure makes of them
    words: str = "epochs shuffled"
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """The mean over draws of the estimate over seeds."""
        rng = np.random.default_rng(0)
        of_seeds = [self.series(record) for record in sample.of_runs[0]]
        drawn = []
        for _ in range(DRAWS):
            numbers = [self.score(rng.permutation(series, axis=1)) for series in of_seeds]
            drawn.append(estimate(np.array(numbers), sample.statistic))
        return summary(np.array(drawn), sample)


def slope(values: np.ndarray) -> float:
    """Of the straight line through the last half of a series, (epochs,), by epoch."""
    late = values[last(len(values), 2)]
    if len(late) < 2:
        return 0.0
    return float(np.polyfit(np.arange(len(late)), late, 1)[0])


# ------------------------------------------------------------------------------------------------ WI-F10, PO-10


@check("C-W10a", "")
def printed_identity() -> float:
    """The largest deviation of the printed C from the printed L - H, nats."""
    table = printed("wiring_fig10b")
    values = table.set_index("quantity").astype(float)
    deviations = []
    for group in ("correct", "wrong"):
        surplus = values.loc[f"L_{group}"] - values.loc[f"H_{group}"]
        residual = values.loc[f"C_{group}"] - surplus
        deviations.append(np.abs(residual.to_numpy(dtype=float)).max())
    return float(max(deviations))


@check("C-W10b", RUN)
def correct_never_cost(record: Record) -> float:
    """The largest of the costs of correct images and of the deviations of C from L - H, over halves and epochs."""
    table = record.table("losses")
    deviations = _deviations(table)
    of_correct = table.loc[table["group"] == "correct", "C"]
    return float(max(of_correct.max(), deviations.max()))


def _deviations(table: pd.DataFrame) -> pd.Series:
    """Of C from L - H, in nats, without signs."""
    surplus = table["L"] - table["H"]
    return (table["C"] - surplus).abs()


@check("C-W10c", RUN, null=EXCHANGED)
@check("C-PO10", RUN, null=EXCHANGED)
def wrong_loss_across(record: Record) -> float:
    """On wrong images: the loss on the search half minus that on the training half, at the end."""
    return across(record, "L", "wrong")


@check("C-W10d", RUN, null=EXCHANGED)
@check("C-PO10b", RUN, null=EXCHANGED)
def wrong_entropy_across(record: Record) -> float:
    """On wrong images: the entropy on the training half minus that on the search half, at the end."""
    return -across(record, "H", "wrong")


def two_samples(record: Record) -> float:
    """The same ratio between two samples of the search half: its even and its odd epochs, of the last fifth."""
    found = {}
    for group in ("correct", "wrong"):
        table = losses(record, "search", group)
        late = table[last(len(table), 5)]
        even, odd = late[0::2], late[1::2]
        of_even = np.average(even["L"], weights=even["n"])
        of_odd = np.average(odd["L"], weights=odd["n"])
        found[group] = abs(of_even - of_odd)
    return float(found["correct"] / found["wrong"])


@check("C-W10e", RUN, null=Control("two samples of the search half", RUN, two_samples))
def correct_loss_across(record: Record) -> float:
    """At the end: the difference between the halves' losses on correct images, over that on wrong ones."""
    return abs(across(record, "L", "correct")) / abs(across(record, "L", "wrong"))


def summed_cost(record: Record, name: str = "edge_cost") -> np.ndarray:
    """The cost of all edges of all cells, summed, by epoch, (epochs,), in nats."""
    return record.array(name).sum((1, 2))


@check("C-W10f", "W-DARTS8", null=Control("the single-level control", "W-DARTS8sl"))
def cost_rises_above_zero(record: Record) -> float:
    """The smaller of the summed cost's fitted rise over the last half and its mean over the last tenth, nats."""
    cost = summed_cost(record)
    half = cost[last(len(cost), 2)]
    rise = slope(cost) * (len(half) - 1)
    return float(min(rise, cost[last(len(cost), 10)].mean()))


def octaves(record: Record, half: str) -> np.ndarray:
    """log2 of the scale of the class logits that would minimise the loss, by epoch, (epochs,)."""
    by_epoch = record.array(f"{half}_C_by_scale")
    return np.array([best_scale(cost) for cost in by_epoch])


@check("C-W10g", RUN)
def best_scale_disagrees(record: Record) -> float:
    """Epochs and halves in which C and the logarithm of the best scale have the same sign."""
    count = 0
    for half in HALVES:
        cost = series(record, half, "C")
        found = octaves(record, half)
        clear = np.abs(cost) > ROUND_OFF
        count += int((np.sign(found[clear]) != -np.sign(cost[clear])).sum())
    return float(count)


@check(
    "C-W10h", RUN, null=Control("the single-level control", ONE_LEVEL, lambda record: final_octaves(record, "train"))
)
def over_confident(record: Record) -> float:
    """log2 of the best scale on the search half, mean over the last tenth of the epochs."""
    return final_octaves(record, "search")


def final_octaves(record: Record, half: str) -> float:
    """log2 of the best scale on a half, mean over the last tenth of the epochs."""
    found = octaves(record, half)
    return float(found[last(len(found), 10)].mean())


# ------------------------------------------------------------------------------------------------ WI-F22 to F26


def largest_residual(record: Record, half: str) -> float:
    """The largest deviation of C from L - H in an epoch, nats."""
    table = losses(record, half)
    return float(_deviations(table).max())


def largest_correct_cost(record: Record, half: str) -> float:
    """The largest mean cost of correct images in an epoch, nats."""
    return float(np.nanmax(series(record, half, "C", "correct")))


def registered(claim: str, measure: Callable[[Record, str], float], half: str) -> None:
    """Register an exact claim that the paper makes of either half."""

    def of_half(record: Record) -> float:
        return measure(record, half)

    of_half.__doc__ = measure.__doc__
    check(claim, RUN)(of_half)


registered("C-W22a", largest_residual, "train")
registered("C-W23a", largest_residual, "search")
registered("C-W25a", largest_correct_cost, "train")
registered("C-W26a", largest_correct_cost, "search")


def training_loss_and_cost(record: Record) -> np.ndarray:
    """L and C of the training half, (2, epochs)."""
    return np.stack([series(record, "train", quantity) for quantity in ("L", "C")])


def largest_correlation(found: np.ndarray) -> float:
    """The largest of the rank correlations with the epoch of several series, (series, epochs)."""
    return max(correlation(values) for values in found)


@check("C-W22b", RUN, null=Reordered(training_loss_and_cost, largest_correlation))
def training_loss_and_cost_fall(record: Record) -> float:
    """The larger of the rank correlations of L and of C with the epoch, on the training half."""
    return largest_correlation(training_loss_and_cost(record))


@check("C-W23b", RUN, null=EXCHANGED)
def search_loss_slows(record: Record) -> float:
    """The slope of L over the last half: search half minus training half, nats an epoch."""
    return slope(series(record, "search", "L")) - slope(series(record, "train", "L"))


def search_entropy(record: Record) -> np.ndarray:
    """H of the search half, (1, epochs)."""
    return series(record, "search", "H")[None]


@check("C-W23c", RUN, null=Reordered(search_entropy, largest_correlation))
def search_entropy_falls(record: Record) -> float:
    """Rank correlation of H on the search half with the epoch."""
    return largest_correlation(search_entropy(record))


@check("C-W23d", RUN, null=EXCHANGED)
def cost_pulls_away(record: Record) -> float:
    """Rank correlation with the epoch of C on the search half minus C on the training half."""
    return correlation(series(record, "search", "C") - series(record, "train", "C"))


def whatever_is_right(record: Record) -> float:
    """The cost of all training images, mean over the epochs: of a group drawn without regard to correctness."""
    return float(np.mean(series(record, "train", "C")))


@check("C-W25b", RUN, null=Control("correct and wrong shuffled", RUN, whatever_is_right))
def wrong_images_cost(record: Record) -> float:
    """The cost of wrong training images, mean over the epochs that have any."""
    return float(np.nanmean(series(record, "train", "C", "wrong")))


def correct_cost(record: Record) -> np.ndarray:
    """C of the correct training images, (1, epochs)."""
    return series(record, "train", "C", "correct")[None]


def late_correlation(found: np.ndarray) -> float:
    """The rank correlation with the epoch of one series, (1, epochs), over its last third."""
    return correlation(found[0, last(found.shape[1], 3)])


@check("C-W25c", RUN, null=Reordered(correct_cost, late_correlation))
def correct_cost_rises_late(record: Record) -> float:
    """Rank correlation with the epoch of the cost of correct training images, over the last third."""
    return late_correlation(correct_cost(record))


@check("C-W26b", RUN, null=EXCHANGED)
def wrong_cost_across(record: Record) -> float:
    """On wrong images: the cost on the search half minus that on the training half, at the end."""
    return across(record, "C", "wrong")


def wrong_cost_trend(record: Record, half: str = "search") -> float:
    """Rank correlation with the epoch of the cost of wrong images on a half."""
    return correlation(series(record, half, "C", "wrong"))


@check(
    "C-W26c",
    RUN,
    null=Control("the single-level control", ONE_LEVEL, lambda record: wrong_cost_trend(record, "train")),
)
def wrong_cost_rises(record: Record) -> float:
    """Rank correlation with the epoch of the cost of wrong images on the search half."""
    return wrong_cost_trend(record)
