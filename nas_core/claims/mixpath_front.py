"""Claims of MixPath about its search: Algorithm 1, and its front against that of random search."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pymoo.indicators.hv import HV
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from nas_core.claims.check import check
from nas_core.claims.nulls import Exchanged
from nas_core.runs import Record
from nas_core.trainers.front_settings import FrontConfig

REFERENCE = (1.0, 1.0)  # in units of the bounds: no front within them is worse
EXCHANGED = Exchanged("the two searches exchanged")
CHILDREN = Exchanged("found and random child exchanged")


def bounds(record: Record) -> pd.Series:
    """``madds`` and ``acc``, which bound every member, and the multiply-adds of the ``smallest`` child."""
    return record.table("bounds").iloc[0]


def members(record: Record, evaluations: int | None = None) -> pd.DataFrame:
    """Those of the first ``evaluations`` children, or of all, that keep both bounds."""
    table = record.table("evaluated").iloc[:evaluations]
    limits = bounds(record)
    return table[(table["madds"] <= limits["madds"]) & (table["acc"] > limits["acc"])]


def normalised(record: Record, madds: pd.Series, accuracies: pd.Series) -> np.ndarray:
    """Costs and errors in units of the bounds, (children, 2).

    0 is the smallest child there is and no error; 1 is the bound on multiply-adds and the error at that on accuracy.
    """
    limits = bounds(record)
    cost = (madds - limits["smallest"]) / (limits["madds"] - limits["smallest"])
    error = (1 - accuracies) / (1 - limits["acc"])
    return np.column_stack([cost, error]).astype(float)


def hypervolume(record: Record, evaluations: int | None = None) -> float:
    """Share of the square of both bounds that the first ``evaluations`` children dominate, as scored in the search."""
    found = members(record, evaluations)
    points = normalised(record, found["madds"], found["acc"])
    return float(HV(ref_point=np.array(REFERENCE))(points)) if len(points) else 0.0


def hypervolume_curve(record: Record, cheapest: float = 0.0) -> np.ndarray:
    """The hypervolume after 1, 2, ... evaluations, (evaluations,), without children cheaper than ``cheapest``."""
    table = record.table("evaluated")
    limits = bounds(record)
    inside = (table["madds"] <= limits["madds"]) & (table["acc"] > limits["acc"]) & (table["madds"] >= cheapest)
    points = normalised(record, table["madds"], table["acc"])[inside]
    volume = HV(ref_point=np.array(REFERENCE))
    of_counts = [float(volume(points[:count])) if count else 0.0 for count in range(len(points) + 1)]
    return np.array(of_counts)[inside.cumsum()]


def hypervolume_on_test(record: Record) -> float:
    """The same of the front that the search ends with, its accuracies measured on test images."""
    front = record.table("front")
    return float(HV(ref_point=np.array(REFERENCE))(normalised(record, front["madds"], front["test"])))


def evaluations(*records: Record) -> int:
    """As many evaluations as each of the searches has."""
    return min(len(record.table("evaluated")) for record in records)


def dominated(table: pd.DataFrame) -> int:
    """How many of these children another one of them dominates."""
    points = np.column_stack([-table["acc"], table["madds"]])
    front = NonDominatedSorting().do(points, only_non_dominated_front=True)
    return len(table) - len(front)


@check("C-MF1a", "M-NSGA M-RAND", null=EXCHANGED)
def hypervolume_difference(evolution: Record, random: Record) -> float:
    """Hypervolume of NSGA-II minus that of random search, at equal numbers of evaluations."""
    equal = evaluations(evolution, random)
    return hypervolume(evolution, equal) - hypervolume(random, equal)


@check("C-MF1b", "M-NSGA M-RAND")
def faults_of_fronts(evolution: Record, random: Record) -> float:
    """Members of both fronts that another member dominates or that break a bound."""
    faults = 0
    for record in (evolution, random):
        front = record.table("front")
        limits = bounds(record)
        broken = (front["madds"] > limits["madds"]) | (front["acc"] <= limits["acc"])
        faults += dominated(front) + int(broken.sum())
    return float(faults)


@check("C-MA1b", "M-NSGA")
def broken_bounds(evolution: Record) -> float:
    """Evaluated children above the bound on multiply-adds, and members of populations not above that on accuracy."""
    evaluated = evolution.table("evaluated")
    limits = bounds(evolution)
    in_populations = evaluated.iloc[evolution.table("populations")["place"].to_numpy()]
    too_large = evaluated["madds"] > limits["madds"]
    too_bad = in_populations["acc"] <= limits["acc"]
    return float(too_large.sum() + too_bad.sum())


@check("C-MA1c", "M-NSGA")
def population_sizes(evolution: Record) -> float:
    """Largest deviation of the number of different members of a population from n."""
    config = evolution.config
    assert isinstance(config, FrontConfig)
    sizes = evolution.table("populations").groupby("generation")["place"].nunique()
    missing = config.generations + 1 - len(sizes)
    return float(max((sizes - config.size).abs().max(), missing))


def points_ahead(found: Record, drawn: Record) -> float:
    """Test accuracy of the found child after training alone minus that of the random one, in points."""
    accuracies = [record.table("accuracy")["acc"].iloc[-1] for record in (found, drawn)]
    return float(100 * (accuracies[0] - accuracies[1]))


@check("C-MF5a", "M-FOUND M-DRAWN", null=CHILDREN)
def points_ahead_where_found(found: Record, drawn: Record) -> float:
    """On the data of the search."""
    return points_ahead(found, drawn)


@check("C-MF5b", "M-FOUNDt M-DRAWNt", null=CHILDREN)
def points_ahead_elsewhere(found: Record, drawn: Record) -> float:
    """On the second data set."""
    return points_ahead(found, drawn)


@check("C-MDa", "M-DSPn M-DSPrand", null=EXCHANGED)
def hypervolume_difference_of_cells(evolution: Record, random: Record) -> float:
    """The same among cells of DARTS."""
    return hypervolume_difference(evolution, random)


@check("C-MDb", "M-DSPn M-DSPrand", null=EXCHANGED)
def best_scored_ahead(evolution: Record, random: Record) -> float:
    """Test accuracy of the child that scores best in the search minus that in random search, one-shot, in points."""
    best = [record.table("front")["test"].iloc[-1] for record in (evolution, random)]
    return float(100 * (best[0] - best[1]))


@check("C-MDc", "M-DSPf M-DSPd", null=CHILDREN)
def cells_ahead_alone(found: Record, drawn: Record) -> float:
    """Test accuracy of the found cells after training alone minus that of the random ones, in points."""
    return points_ahead(found, drawn)
