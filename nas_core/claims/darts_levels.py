"""Claims on DARTS's levels side by side: what each search finds, trained on its own, and its discretisation gap."""

from nas_core.claims.check import check
from nas_core.claims.measures import accuracies
from nas_core.claims.nulls import Exchanged
from nas_core.runs import Record

EXCHANGED = Exchanged("the two methods exchanged")
RULES = Exchanged("the two rules exchanged")
MARGIN = 1.0  # points of test accuracy that count as "as good as"
WORSE = Exchanged("two paths a point worse than all", apart=-MARGIN)


def trained_accuracy(child: Record) -> float:
    """Test accuracy of a cell at the end of its own training, in percent."""
    table = child.table("accuracy")
    last = table[table["split"] == "test"].sort_values("epoch").iloc[-1]
    return 100 * float(last["acc"])


def gap(search: Record, rule: str) -> float:
    """Test accuracy of the supernet minus that of the child by ``rule``, both recalibrated, in points."""
    networks = ("supernet", f"child ({rule})")
    whole, part = (accuracies(search, name, "test", "recalibrated")[-1] for name in networks)
    return 100 * float(whole - part)


def _difference(one: Record, other: Record) -> float:
    return trained_accuracy(one) - trained_accuracy(other)


@check("C-N6a", "N-DARTS2-child-r N-DARTS1-child-r", null=EXCHANGED)
def second_order_at_equal_steps(second: Record, first: Record) -> float:
    """Cell of second order (difference quotient) minus that of first order after as many steps, in points."""
    return _difference(second, first)


@check("C-N6b", "N-DARTS2-child-r N-DARTS1-long-child-r", null=EXCHANGED)
def second_order_at_equal_passes(second: Record, first: Record) -> float:
    """Cell of second order minus that of first order after as many passes, in points."""
    return _difference(second, first)


@check("C-N6c", "N-DARTS2-exact-child-r N-DARTS2-child-r", null=EXCHANGED)
def exact_second_term(exact: Record, quotient: Record) -> float:
    """Cell of second order by double backward minus that by the difference quotient, in points."""
    return _difference(exact, quotient)


@check("C-N6d", "N-DARTS1-child-r N-DARTS-single-child-r", null=EXCHANGED)
def two_levels(first: Record, single: Record) -> float:
    """Cell of bi-level search, first order, minus that of single-level search, in points."""
    return _difference(first, single)


@check("C-N6e", "N-DARTS1-child-r N-RAND-child-r", null=EXCHANGED)
def search_beats_random(first: Record, drawn: Record) -> float:
    """Cell of first order minus that of random search at an equal budget, in points."""
    return _difference(first, drawn)


@check("C-N6f", "N-DARTS1-r N-REINFORCE-r", null=EXCHANGED)
def mixtures_leave_a_gap(first: Record, paths: Record) -> float:
    """Discretisation gap of the mixture minus that of single paths, by DARTS's rule, in points."""
    return gap(first, "darts") - gap(paths, "darts")


@check("C-N6g", "N-PROX2-long-child-r N-RAND-child-r", null=EXCHANGED)
def two_paths_beat_random(two: Record, drawn: Record) -> float:
    """Cell of two paths minus that of random search after as many multiply-adds, in points."""
    return _difference(two, drawn)


@check("C-N6h", "N-PROX2-child-r N-PROXall-child-r", null=WORSE)
def two_paths_as_good_as_all(two: Record, whole: Record) -> float:
    """Cell of two paths minus that of all paths after as many steps, in points."""
    return _difference(two, whole)


@check("C-N6i", "N-PROX2-long-child-r N-DARTS1-child-r", null=EXCHANGED)
def two_paths_beat_the_mixture(two: Record, first: Record) -> float:
    """Cell of two paths minus that of first order after as many multiply-adds, in points."""
    return _difference(two, first)


@check("C-N6j", "N-DARTS1-r N-PROX2-r", null=EXCHANGED)
def mixtures_leave_a_wider_gap_than_two_paths(first: Record, two: Record) -> float:
    """Discretisation gap of the mixture minus that of two paths, by DARTS's rule, in points."""
    return gap(first, "darts") - gap(two, "darts")


@check("C-N6k", "N-DARTS1-argmax-child-r N-DARTS1-child-r", null=RULES)
def rules_after_first_order(argmax: Record, darts: Record) -> float:
    """Cell of first order by the rule of SNAS minus that by DARTS's rule, in points."""
    return _difference(argmax, darts)


@check("C-N6l", "N-DARTS-single-argmax-child-r N-DARTS-single-child-r", null=RULES)
def rules_after_a_single_level(argmax: Record, darts: Record) -> float:
    """The same of a single level."""
    return _difference(argmax, darts)
