"""Claims of ProxylessNAS on chains: searched against random ones, latency and its weight, the front, the predictor."""

import numpy as np
import pandas as pd
from scipy import stats

from nas_core.claims.check import check
from nas_core.claims.nulls import Control, Exchanged
from nas_core.experiments.proxyless_chains import ADDITIVE, MULTIPLICATIVE, SWEEP
from nas_core.runs import Record
from nas_core.trainers.chain_training import DRAWN

ALONE, PREDICTOR = "N-PROX-alone", "N-LAT"
REVERSED = Exchanged("the order of the weights reversed")
FORMS = {"additive": SWEEP, "multiplicative": (SWEEP[0], *MULTIPLICATIVE)}
WEIGHTS = {"N-PROX-l0": 0.0, **ADDITIVE, **MULTIPLICATIVE}


def trained(record: Record) -> pd.DataFrame:
    """The chains trained alone, by origin: ``valid``, ``test`` (shares), ``latency_us`` and their sizes."""
    return record.table("chains").set_index("origin")


def drawn(record: Record) -> pd.DataFrame:
    """Those drawn uniformly from the space."""
    table = trained(record)
    return table[table.index.str.startswith(DRAWN)]


def beyond_random(record: Record, origin: str) -> float:
    """Test accuracy of the chain that a search found minus the mean of the drawn ones, in points."""
    searched = trained(record)["test"].astype(float)[origin]
    return 100 * float(searched - drawn(record)["test"].mean())


def latency_by_weight(record: Record, form: str) -> np.ndarray:
    """Latency of the derived chain for every weight of the sweep from 0 on, (weights,), in microseconds."""
    return trained(record).loc[list(FORMS[form]), "latency_us"].to_numpy(dtype=float)


def trend(record: Record, form: str) -> float:
    """Rank correlation of the derived chain's latency with the weight of latency; 0 if all chains take equal time."""
    latency = latency_by_weight(record, form)
    if np.ptp(latency) == 0:
        return 0.0
    return float(stats.spearmanr(np.arange(len(latency)), latency).statistic)


def non_dominated(accuracy: np.ndarray, latency: np.ndarray) -> np.ndarray:
    """Which points no other dominates, by being no worse in both and better in one: bool, (points,)."""
    found = []
    for a, t in zip(accuracy, latency, strict=True):
        no_worse = (accuracy >= a) & (latency <= t)
        better = (accuracy > a) | (latency < t)
        found.append(not (no_worse & better).any())
    return np.array(found)


def share_undominated(table: pd.DataFrame) -> float:
    """Of the front that validation images choose, the share of points that stay undominated in it on test images."""
    chosen = table[non_dominated(table["valid"].to_numpy(), table["latency_us"].to_numpy())]
    return float(non_dominated(chosen["test"].to_numpy(), chosen["latency_us"].to_numpy()).mean())


def of_drawn(record: Record) -> float:
    """The same of the front of drawn chains."""
    return share_undominated(drawn(record))


def held_out_rank(record: Record, learned_from: str) -> float:
    """Rank correlation of predicted and measured latency on the blocks that were held out."""
    table = record.table("fit").set_index("learned_from")
    return float(table["rank_correlation"].astype(float)[learned_from])


@check("C-N13c", ALONE, null=Exchanged("searched and random chain exchanged"))
def searched_beats_random(record: Record) -> float:
    """Two paths, accuracy alone."""
    return beyond_random(record, "N-PROX-l0")


@check("C-N13d", ALONE, null=Exchanged("searched and random chain exchanged"))
def rewarded_beats_random(record: Record) -> float:
    """REINFORCE."""
    return beyond_random(record, "N-PROX-rl")


@check("C-N13e", ALONE, null=Exchanged("target and proxy exchanged"))
def direct_beats_transfer(record: Record) -> float:
    """In points of test accuracy on the target."""
    table = trained(record)["test"]
    return 100 * float(table["N-PROX-l0"] - table["N-PROX-proxy"])


def by_control(record: Record) -> float:
    """Of the control, which learned from shuffled latencies."""
    return held_out_rank(record, "shuffled")


@check("C-N14b", PREDICTOR, null=Control("learned from shuffled latencies", PREDICTOR, by_control))
def predictor_ranks(record: Record) -> float:
    """Of the predictor that learned from the measured ones."""
    return held_out_rank(record, "measured")


@check("C-N15", ALONE, null=REVERSED)
def latency_falls_with_its_weight(record: Record) -> float:
    """The additive form."""
    return trend(record, "additive")


@check("C-N15c", ALONE, null=REVERSED)
def latency_falls_in_the_other_form(record: Record) -> float:
    """The multiplicative form."""
    return trend(record, "multiplicative")


@check("C-N15b", ALONE, null=Control("the front of random chains", ALONE, of_drawn))
def front_is_undominated(record: Record) -> float:
    """Of the chains of the additive sweep."""
    return share_undominated(trained(record).loc[list(SWEEP)])
