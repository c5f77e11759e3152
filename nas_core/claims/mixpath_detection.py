"""Claims on detectors: MixPath's Table 3, and the study of found and random children as backbones."""

from nas_core.claims.check import check
from nas_core.claims.nulls import Exchanged, Instead
from nas_core.runs import Record

RUNS = "M-DETv3 M-DETmn M-DETch"
POINTS = 100  # of a share


def precision(record: Record, answer: str, column: str = "AP50") -> float:
    """A number of the table of precisions, a share; ``answer``: trained, untrained or constant boxes."""
    of_answer = record.table("precision").set_index("answer")[column]
    return float(of_answer[answer])


def margin(record: Record, answer: str) -> float:
    """AP50 of an answer minus the larger one of the untrained detector's and the constant boxes', in points."""
    baseline = max(precision(record, "untrained"), precision(record, "constant boxes"))
    return POINTS * (precision(record, answer) - baseline)


def smallest_untrained(*records: Record) -> float:
    """The smallest margin of the same detectors before their first step."""
    return min(margin(record, "untrained") for record in records)


@check("C-MT3b", RUNS, null=Instead("the same detectors untrained", smallest_untrained))
def smallest_margin(*records: Record) -> float:
    """The smallest margin that training brings, over the backbones, in points of AP50."""
    return min(margin(record, "trained") for record in records)


@check("C-SM2a", "M-DETch M-DETrand", null=Exchanged("found and random child exchanged"))
def points_ahead(found: Record, drawn: Record) -> float:
    """AP50 of the detector on the found child minus that of the one on the random child, in points."""
    return POINTS * (precision(found, "trained") - precision(drawn, "trained"))
