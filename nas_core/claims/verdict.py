"""The verdict on one claim."""

from dataclasses import dataclass

from nas_core.errors import choose

VERDICTS = ("fails", "inconclusive", "holds", "not at this scale", "reference", "not run")  # what to read first


@dataclass(frozen=True)
class Null:
    """The same quantity where the claim's cause is absent: chance, shuffled records, a control, random search.

    ``reaches``: whether the null meets the claim's bound as well. ``meets``: whether it does and the runs are not told
    apart from it (p at least 0.05), so that the claim is no evidence.
    """

    words: str  # what it is, e.g. "operations shuffled on every edge"
    value: float  # the estimate
    meets: bool
    reaches: bool = False


@dataclass(frozen=True)
class Verdict:
    """``value`` is the estimate over seeds; ``threshold`` says what it must be; ``interval`` covers it (95 %).

    ``met``: how many of the ``n`` seeds, or networks, meet the bound; ``p_holds``: the bootstrap's share of estimates
    that meet it; ``p_value``: how often the null is as extreme as the runs, not corrected (the ledger has Holm's).
    """

    id: str
    verdict: str
    value: float | None = None
    threshold: str = ""
    seeds: tuple[int, ...] = ()
    interval: tuple[float, float] | None = None
    met: int | None = None
    p_holds: float | None = None
    p_value: float | None = None
    null: Null | None = None
    note: str = ""
    n: int | None = None

    def __post_init__(self) -> None:
        choose("verdict", self.verdict, VERDICTS)

    @property
    def evidence(self) -> bool:
        """Whether the claim holds and its null does not meet it as well."""
        return self.verdict == "holds" and not (self.null is not None and self.null.meets)
