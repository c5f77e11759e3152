"""The verdict on one claim."""

from dataclasses import dataclass

from nas_core.errors import choose

VERDICTS = ("holds", "fails", "not at this scale", "reference", "not run")


@dataclass(frozen=True)
class Verdict:
    """``value`` is the seed mean; ``threshold`` says in words what it must be; ``interval`` covers the mean (95 %)."""

    id: str
    verdict: str
    value: float | None = None
    threshold: str = ""
    seeds: tuple[int, ...] = ()
    interval: tuple[float, float] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        choose("verdict", self.verdict, VERDICTS)
