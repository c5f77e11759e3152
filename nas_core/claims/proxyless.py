"""Claims of ProxylessNAS that need searches: what repeated comparisons of two paths end with."""

from nas_core.claims.check import check
from nas_core.claims.measures import accuracies, normal_prob, settings
from nas_core.claims.nulls import Chance, Exchanged
from nas_core.experiments.proxyless import BETTER, CHOICES, EDGE, alone_run
from nas_core.runs import Record

WON, LOST = (1.0,), (0.0,)
ONE_OF_ALL = Chance("any candidate", WON + LOST * (len(CHOICES) - 1))
OTHERS = tuple(op for op in CHOICES if op != BETTER)
ALONE = " ".join(alone_run(op) for op in (BETTER, *OTHERS))


def favourite(record: Record) -> str:
    """The candidate with the largest probability on the edge that chooses, at the end."""
    prob = normal_prob(record)[-1, EDGE]
    candidates = settings(record).network.candidates
    return str(candidates[prob.argmax()])


@check("C-N11b", "N-TWO-r", null=ONE_OF_ALL)
def better_wins(record: Record) -> float:
    """1 where the candidate that is better in every pair ends with the largest probability."""
    return float(favourite(record) == BETTER)


@check("C-N11c", ALONE, null=Exchanged("max pooling and the best other exchanged"))
def lead(better: Record, *others: Record) -> float:
    """Validation accuracy with the better candidate alone minus that with the best of the others alone, in points."""
    own = final_accuracy(better)
    best = max(final_accuracy(other) for other in others)
    return 100 * (own - best)


def final_accuracy(record: Record) -> float:
    """Validation accuracy of the supernet at the end, a share."""
    return float(accuracies(record, "supernet", "valid")[-1])
