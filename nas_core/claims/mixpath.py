"""Claims of MixPath about shadow batch norms: what they have seen, and what they do to features (Figures 2 to 4)."""

from __future__ import annotations

from typing import cast

import numpy as np

from nas_core.cells.mixpath import subsets
from nas_core.claims.check import check
from nas_core.claims.nulls import Control
from nas_core.runs import Record
from nas_core.trainers.shadow_norms import ShadowNormsConfig

FIRST = (0,)  # layers, from 0: the first one of Figure 3
LATER = (5, 10)  # those of Figure 4, which the paper counts from 1 as layers 6 and 11
COMBINATIONS, SAMPLES = 15, 64
MEAN_TOLERANCE, VARIANCE_TOLERANCE = 0.15, 0.1
BEFORE = Control("the supernet before training", "M-S1m4i")
ONE_NORM = Control("one batch norm for all numbers of paths", "M-S1m4bnn")


def norms(record: Record, name: str) -> np.ndarray:
    """``mean``, ``var``, ``gamma`` or ``beta`` of all shadow norms, (layers, expansions, norms, channels) with nan."""
    return record.array(name)[0].astype(float)


def slopes(record: Record, name: str) -> np.ndarray:
    """Slope of the line through the origin of SBN_n's channels against those of SBN_1, (layers, expansions, norms).

    nan where those of SBN_1 are zero, as the shifts of an untrained supernet.
    """
    values = norms(record, name)
    one = values[:, :, :1]
    products = np.nansum(one * values, axis=-1)
    square = np.nansum(one**2, axis=-1)
    squares = np.broadcast_to(square, products.shape)
    unknown = np.full(products.shape, np.nan)
    return np.divide(products, squares, out=unknown, where=squares > 0)


def correlation(record: Record) -> np.ndarray:
    """rho, (layers, expansions): the mean correlation of two paths of a layer, each computed alone.

    By channel it is the mean covariance of two paths over the mean variance v of one; channels count by v^2, as they
    do in a line through the origin.
    """
    covariance = record.array("path_cov")[0]  # (layers, expansions, paths, paths, channels)
    paths = covariance.shape[2]
    variance = np.einsum("leiic->lec", covariance) / paths
    of_pairs = covariance.sum((2, 3)) - paths * variance
    mean_of_pairs = of_pairs / (paths * (paths - 1))
    weighted = np.nansum(variance * mean_of_pairs, axis=-1)
    return weighted / np.nansum(variance**2, axis=-1)


def law(record: Record) -> np.ndarray:
    """n (1 + (n - 1) rho), what the slope of the variances should be, (layers, expansions, norms)."""
    most = norms(record, "var").shape[2]
    return _law(correlation(record), most)


def _law(rho: np.ndarray, most: int) -> np.ndarray:
    n = np.arange(1, most + 1)
    return n * (1 + (n - 1) * rho[..., None])


def mean_deviation(record: Record) -> np.ndarray:
    """Relative deviation of the means' slopes from n, (layers, expansions, norms)."""
    found = slopes(record, "mean")
    n = np.arange(1, found.shape[2] + 1)
    return np.abs(found / n - 1)


def variance_deviation(record: Record, rho: np.ndarray | None = None) -> np.ndarray:
    """Relative deviation of the variances' slopes from the law, 1 outside of n to n^2, (layers, expansions, norms).

    ``rho``: (layers, expansions), the measured one unless it is given.
    """
    if rho is None:
        rho = correlation(record)
    found = slopes(record, "var")[:, :, 1:]
    most = found.shape[2] + 1
    expected = _law(rho, most)[:, :, 1:]
    deviation = np.abs(found / expected - 1)
    n = np.arange(2, most + 1)
    outside = (found < n) | (found > n**2)
    return np.where(outside, 1.0, deviation)


def _largest_of_means(layers: tuple[int, ...], *records: Record) -> float:
    largest = []
    for record in records:
        of_layers = mean_deviation(record)[list(layers)]
        largest.append(float(of_layers.max()))
    return max(largest)


def _largest_of_variances(layers: tuple[int, ...], *records: Record) -> float:
    largest = []
    for record in records:
        of_layers = variance_deviation(record)[list(layers)]
        largest.append(float(of_layers.max()))
    return max(largest)


def _uncorrelated(layers: tuple[int, ...], record: Record) -> float:
    zero = np.zeros_like(correlation(record))
    of_layers = variance_deviation(record, zero)[list(layers)]
    return float(of_layers.max())


def _first_uncorrelated(record: Record) -> float:
    return _uncorrelated(FIRST, record)


def _later_uncorrelated(record: Record) -> float:
    return _uncorrelated(LATER, record)


FIRST_APART = Control("paths taken as uncorrelated", "M-S1m4n", _first_uncorrelated)
LATER_APART = Control("paths taken as uncorrelated", "M-S1m4n", _later_uncorrelated)


def groups(features: np.ndarray) -> np.ndarray:
    """Features (combinations, images, channels, height, width) as vectors, (combinations, images, values)."""
    return features.reshape(*features.shape[:2], -1).astype(float)


def features(record: Record, when: str) -> np.ndarray:
    """First-layer features ``before`` or ``after`` normalisation, (combinations, images, values)."""
    return groups(record.array(when)[0])


def path_counts(paths: int, most: int) -> np.ndarray:
    """How many paths each combination has, in the order in which they are recorded: 1 1 1 1 2 2 ..."""
    return np.array([len(active) for active in subsets(range(paths), most)])


def counts_of(record: Record) -> np.ndarray:
    """The number of paths of every combination in a record, (combinations,)."""
    config = cast(ShadowNormsConfig, record.config)
    paths = record.array("path_cov").shape[3]
    return path_counts(paths, config.supernet.paths.most)


def silhouette(record: Record, when: str) -> float:
    """Mean silhouette of the features, grouped by their number of paths; 1: well apart, below 0: mixed."""
    from sklearn.metrics import silhouette_score

    values = features(record, when)
    labels = np.repeat(counts_of(record), values.shape[1])
    return float(silhouette_score(values.reshape(-1, values.shape[2]), labels))


def gap(record: Record, when: str) -> float:
    """Mean distance between centroids of two combinations over the spread (root mean square) around them."""
    values = features(record, when)
    centroids = values.mean(1)
    around = values - centroids[:, None]
    spread = np.sqrt((around**2).sum(-1).mean())
    between = centroids[:, None] - centroids[None]
    distances = np.linalg.norm(between, axis=-1)
    pairs = distances[np.triu_indices(len(centroids), 1)]
    return float(pairs.mean() / spread)


def norm_ratio(record: Record, when: str) -> float:
    """Largest over smallest mean norm of features among the numbers of paths."""
    of_images = np.linalg.norm(features(record, when), axis=-1)
    lengths = of_images.mean(1)
    counts = counts_of(record)
    means = [lengths[counts == n].mean() for n in np.unique(counts)]
    return float(max(means) / min(means))


@check("C-MF2a", "M-S1m4n", null=ONE_NORM)
def silhouettes_fall(record: Record) -> float:
    """By how much the silhouette falls."""
    return silhouette(record, "before") - silhouette(record, "after")


@check("C-MF2b", "M-S1m4n", null=ONE_NORM)
def centroids_meet(record: Record) -> float:
    """The gap after over that before."""
    return gap(record, "after") / gap(record, "before")


@check("C-MF2c", "M-S1m4n")
def every_combination(record: Record) -> float:
    """By how many combinations and samples the record is off."""
    combinations, samples = record.array("before").shape[1:3]
    missing_combinations = abs(combinations - COMBINATIONS)
    missing_samples = abs(samples - SAMPLES)
    return float(missing_combinations + missing_samples)


@check("C-MF3a", "M-S1m4n M-S1m3n", null=BEFORE)
def first_means_are_multiples(*records: Record) -> float:
    """The largest deviation in the first layer."""
    return _largest_of_means(FIRST, *records)


@check("C-MF3b", "M-S1m4n M-S1m3n", null=FIRST_APART)
def first_variances_follow_the_law(*records: Record) -> float:
    """The largest deviation in the first layer."""
    return _largest_of_variances(FIRST, *records)


@check("C-MF4a", "M-S1m4n M-S1m3n", null=BEFORE)
def later_means_are_multiples(*records: Record) -> float:
    """The largest deviation in layers 6 and 11."""
    return _largest_of_means(LATER, *records)


@check("C-MF4b", "M-S1m4n M-S1m3n", null=LATER_APART)
def later_variances_follow_the_law(*records: Record) -> float:
    """The largest deviation in layers 6 and 11."""
    return _largest_of_variances(LATER, *records)


@check("C-ML1b", "M-S1m4n", null=BEFORE)
@check("T-M2", "M-S1m4n", null=BEFORE)
def every_layer_follows_the_law(record: Record) -> float:
    """The largest deviation over its tolerance, in all layers."""
    means = mean_deviation(record).max() / MEAN_TOLERANCE
    variances = variance_deviation(record).max() / VARIANCE_TOLERANCE
    return float(max(means, variances))
