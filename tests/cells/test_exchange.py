"""Genotypes as text: every form that the field uses is read as the same genotype, and what is written is read back."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.cells.evaluation import EVALUATED
from nas_core.cells.exchange import FORMS, read, write
from nas_core.cells.genotype import CellGenotype, Genotype, released
from nas_core.cells.literals import LAST
from nas_core.errors import UserError

# Node 2 reads both inputs, node 3 input 1 and node 2.
NORMAL = CellGenotype(2, 2, ((0, 2, "sep_conv_3x3"), (1, 2, "skip_connect"), (2, 3, "dil_conv_5x5"),
                             (1, 3, "max_pool_3x3")), (2, 3))  # fmt: skip
REDUCE = CellGenotype(2, 1, ((0, 2, "max_pool_3x3"), (1, 2, "skip_connect")), (2,))
SMALL = Genotype(NORMAL, REDUCE)
PAIRS = "('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_5x5', 2), ('max_pool_3x3', 1)"
TWO = "('max_pool_3x3', 0), ('skip_connect', 1)"
DARTS = f"Genotype(normal=[{PAIRS}], normal_concat=range(2, 4), reduce=[{TWO}], reduce_concat=[2])"
NESTED = "[[('sep_conv_3x3', 0), ('skip_connect', 1)], [('dil_conv_5x5', 2), ('max_pool_3x3', 1)]]"
WEIGHTED = "('sep_conv_3x3', 0, 0.31), ('skip_connect', 0.2, 1), ('dil_conv_5x5', 2, 1e-3), ('max_pool_3x3', 1, -0.5)"
TRIPLES = "('sep_conv_3x3', 2, 0), ('skip_connect', 2, 1), ('dil_conv_5x5', 3, 2), ('max_pool_3x3', 3, 1)"
ALL = "('sep_conv_3x3', 0), ('skip_connect', 1), ('none', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 1)"
NUMPY = "('sep_conv_3x3', np.int64(0)), ('skip_connect', 1, tensor(0.2, device='cuda:0')), ('dil_conv_5x5', 2), ('max_pool_3x3', 1)"  # noqa: E501


def spelt(normal: str, concat: str = "range(2, 4)", rest: str = f"reduce=[{TWO}], reduce_concat=[2]") -> str:
    return f"Genotype(normal={normal}, normal_concat={concat}, {rest})"


SPELLINGS = {
    "as DARTS prints it": DARTS,
    "lists instead of ranges": spelt(f"[{PAIRS}]", "[2, 3]"),
    "tuples": spelt(f"({PAIRS})", "(2, 3)"),
    "a range in a list": spelt(f"[{PAIRS}]", "list(range(2, 4, 1))"),
    "positions": f"Genotype([{PAIRS}], range(2, 4), [{TWO}], [2])",
    "positions, then names": f"Genotype([{PAIRS}], range(2, 4), reduce_concat=[2], reduce=[{TWO}])",
    "nested by node": spelt(NESTED, rest=f"reduce=[[{TWO}]], reduce_concat=range(2, 3)"),
    "weights": spelt(f"[{WEIGHTED}]"),
    "triples": spelt(f"[{TRIPLES}]"),
    "all edges": spelt(f"[{ALL}]"),
    "numbers of libraries": spelt(f"[{NUMPY}]"),
    "lists for edges": spelt(f"[{PAIRS}]".replace("(", "[").replace(")", "]")),
    "with a name": f"MY_CELLS = {DARTS}\n",
    "of a module": f"gt = genotypes.{DARTS}",
    "in a log": f"03/27 12:24:16 PM genotype = {DARTS}\n03/27 12:24:17 PM valid_acc 88.1 (best)",
    "in a source": f"from collections import namedtuple\nGenotype = namedtuple('Genotype', 'normal')\nBEST = {DARTS}",
    "one token a line": DARTS.replace(" ", "\n\t"),
    "broken in a name": DARTS.replace("conv", "con\n  v"),
    "comments": "# X = Genotype(normal=[])\n" + DARTS.replace("), (", "),  # of node (2\n   (") + "  # ends",
    "double quotes": DARTS.replace("'", '"'),
    "typographic quotes": DARTS.replace("('", "(‘").replace("',", "’,"),
    "our JSON": SMALL.to_json(),
    "our JSON, indented": "\n" + json.dumps(json.loads(SMALL.to_json()), indent=2),
}  # fmt: skip


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_exact_every_spelling_is_the_same_genotype(text: str) -> None:
    assert read(text) == SMALL


def test_exact_one_node() -> None:
    """The smallest cell that DARTS's code prints."""
    text = ("Genotype(normal=[('sep_conv_3x3',0),('skip_connect',1)], normal_concat=range(2,3), "
            "reduce=[('max_pool_3x3',0),('skip_connect',1)], reduce_concat=[2])")  # fmt: skip
    normal = CellGenotype(2, 1, ((0, 2, "sep_conv_3x3"), (1, 2, "skip_connect")), (2,))
    assert read(text) == Genotype(normal, REDUCE)


@pytest.mark.parametrize("rest", ["", ", reduce=None, reduce_concat=None", ", reduce=[], reduce_concat=range(2, 4)"])
def test_exact_a_genotype_without_reduction(rest: str) -> None:
    assert read(f"Genotype(normal=[{PAIRS}], normal_concat=[2, 3]{rest})") == Genotype(NORMAL)


def test_exact_lists_of_all_edges_may_stand_in_any_order_within_a_node() -> None:
    """SNAS's moderate normal cell with all its 14 edges, those that it dropped as none."""
    edges = ("('dil_conv_5x5', 0), ('skip_connect', 1), "
             "('sep_conv_3x3', 0), ('skip_connect', 1), ('none', 2), "
             "('skip_connect', 0), ('none', 3), ('skip_connect', 1), ('none', 2), "
             "('none', 4), ('sep_conv_3x3', 0), ('none', 3), ('dil_conv_5x5', 1), ('none', 2)")  # fmt: skip
    assert read(f"Genotype([{edges}], range(2, 6))").normal == released("SNAS_moderate").normal


def test_exact_pairs_with_none_are_absent_edges() -> None:
    """SNAS's aggressive reduction cell keeps two edges of the eight that it is written with."""
    edges = "('sep_conv_5x5', 0), ('none', 1), ('sep_conv_5x5', 0), ('none', 1)" + ", ('none', 1), ('none', 0)" * 2
    assert read(f"Genotype([{edges}], range(2, 6))").normal == released("SNAS_aggressive").reduce


def test_exact_triples_may_leave_a_node_out_and_read_a_node_twice() -> None:
    text = "Genotype([('skip_connect', 2, 0), ('sep_conv_3x3', 2, 0), ('max_pool_3x3', 4, 2)], [2, 3, 4])"
    edges = ((0, 2, "skip_connect"), (0, 2, "sep_conv_3x3"), (2, 4, "max_pool_3x3"))
    assert read(text).normal == CellGenotype(2, 3, edges, (2, 3, 4))


REFUSED = {
    "unknown operation": (DARTS.replace("dil_conv_5x5", "dil_conv_5x6"), "unknown operation 'dil_conv_5x6'; did you"),
    "backward": (DARTS.replace("5x5', 2", "5x5', 3"), "normal cell: an edge must lead forward .*, not 3 -> 3"),
    "backward triple": (spelt("[('skip_connect', 2, 3)]"), "normal cell: an edge must lead forward .*, not 3 -> 2"),
    "triple to an input": (spelt("[('skip_connect', 0, 2)]"), "must lead forward .*, which is 2 to 3, not 2 -> 0"),
    "backward none": (DARTS.replace("dil_conv_5x5', 2", "none', 4"), "must lead forward .*, not 4 -> 3"),
    "from nowhere": (DARTS.replace("5x5', 2", "5x5', -1"), "must lead forward .*, not -1 -> 3"),
    "beyond the last": (spelt("[('skip_connect', 7, 0)]"), "must lead forward .*, which is 2 to 3, not 0 -> 7"),
    "concatenated input": (spelt(f"[{PAIRS}]", "range(1, 4)"), "normal cell: only intermediate nodes, .*, not 1"),
    "concatenated twice": (spelt(f"[{PAIRS}]", "[2, 3, 3]"), "normal cell: the nodes of the output must all be diff"),
    "nothing concatenated": (spelt(f"[{PAIRS}]", "range(4, 2)"), r"normal cell: the concatenated nodes .*, not \(\)"),
    "no concatenation": (spelt(f"[{PAIRS}]", "None"), "normal cell: the concatenated nodes .*, not None"),
    "nodes of half": (spelt(f"[{PAIRS}]", "[2, 3.5]"), "normal cell: only intermediate nodes, .*, not 3.5"),
    "too few edges": (spelt(f"[{TWO}]"), "normal cell: 2 edges do not fit nodes 2 to 3, .*: two a node are 4, all of"),
    "too many edges": (spelt(f"[{PAIRS}, {TWO}]"), "normal cell: 6 edges do not fit .*: two a node are 4, all .* 5"),
    "no edges": (spelt("[]"), "normal cell: 0 edges do not fit nodes 2 to 3"),
    "too many lists": (spelt(NESTED, "[2]"), "normal cell: 2 lists of edges do not fit nodes 2 to 2"),
    "in the reduction": (DARTS.replace("[2]", "[2, 3]"), "reduction cell: 2 edges do not fit nodes 2 to 3"),
    "mixed": (spelt("[('skip_connect', 2, 0), ('skip_connect', 1)]"), r"name their target, \('skip_connect', 1\) does"),
    "an edge of three nodes": (spelt("[('skip_connect', 2, 1, 0)]"), r"an edge is .*, not \('skip_connect', 2, 1, 0\)"),
    "an edge of none": (spelt("[('skip_connect', 0.3)]"), r"an edge is .*, not \('skip_connect', 0.3\)"),
    "an edge to words": (spelt("[('skip_connect', 'a', 0)]"), r"an edge is .*, not \('skip_connect', 'a', 0\)"),
    "an edge of truth": (spelt("[('skip_connect', True)]"), r"an edge is .*, not \('skip_connect', True\)"),
    "a number for edges": (spelt("5"), "normal cell: its edges must be a list, not 5"),
    "unknown field": (DARTS.replace("reduce=", "reduced="), "unknown field of a genotype 'reduced'; did you mean"),
    "fields in a dict": ("Genotype(**{'normal': 1})", "unknown field of a genotype 'None'"),
    "lacks a field": (f"Genotype(normal=[{PAIRS}])", "lacks its field normal_concat"),
    "lacks the other": (f"Genotype([{PAIRS}], [2, 3], [{TWO}])", "lacks its field reduce_concat"),
    "a field twice": (f"Genotype([{PAIRS}], [2, 3], normal=[])", "the field normal of a genotype is given twice"),
    "five fields": ("Genotype([], [], [], [], [])", "normal, normal_concat, reduce, reduce_concat, not 5"),
    "code": ("Genotype(normal=__import__('os').getcwd(), normal_concat=[2])", r"not of __import__\('os'\).getcwd\(\)"),
    "arithmetic": (spelt(f"[{PAIRS}]", "[2, 1 + 2]"), r"made of names, numbers, .*, not of 1 \+ 2"),
    "a variable": (spelt(f"[{PAIRS}]", "NODES"), "made of names, numbers, .*, not of NODES"),
    "stars": (spelt("[*EDGES]"), r"made of names, numbers, .*, not of \*EDGES"),
    "a huge range": (spelt(f"[{PAIRS}]", "range(2, 10**9)"), r"not of 10 \*\* 9"),
    "a long range": (spelt(f"[{PAIRS}]", "range(2, 1000000000)"), f"ranges of nodes up to {LAST}, not of range"),
    "a range without steps": (spelt(f"[{PAIRS}]", "range(2, 6, 0)"), r"not of range\(2, 6, 0\)"),
    "a range of words": (spelt(f"[{PAIRS}]", "range('a')"), r"not of range\('a'\)"),
    "much code": (spelt("[" + "a." * 200 + "b]"), "made of names, numbers"),
    "deep code": (spelt("[" + "a." * 5000 + "b]"), "`Genotype.*` is nested too deeply"),
    "a range of nothing": (spelt(f"[{PAIRS}]", "range()"), r"not of range\(\)"),
    "a far node": (spelt(f"[{PAIRS}]", "[2, 1000000000]"), "only intermediate nodes, from 2 .*, not 1000000000"),
    "two genotypes": (f"A = {DARTS}\nB = {DARTS}", r"2 genotypes in one text \(A, B\)"),
    "a log of many": (f"genotype = {DARTS}\n" * 50 + DARTS, r"51 genotypes in one text \(genotype, without a name\)"),
    "none at all": ("Genotypen sind hier keine.", "no genotype in `Genotypen sind hier keine.`"),
    "cut off": (DARTS[:90], r"is cut off: 3 of its brackets are never closed"),
    "a comma too few": (DARTS.replace("', 0", "' 0", 1), "cannot read `Genotype.*` as a genotype"),
    "brackets mixed up": (DARTS.replace("[2])", "(2])"), "cannot read `Genotype.*` as a genotype"),
    "a null": (spelt("[\0]"), "cannot read `Genotype.*` as a genotype"),
    "a deep one": (spelt("[" * 5000 + "]" * 5000), "cannot read `Genotype.*` as a genotype"),
    "JSON, damaged": (SMALL.to_json()[:-9], "JSON of a genotype: the text: Invalid JSON"),
    "JSON, another field": (SMALL.to_json().replace('"nodes"', '"node"'), "JSON of a genotype: normal.node"),
    "JSON, unknown field": (SMALL.to_json()[:-1] + ', "x": 1}', "JSON of a genotype: x: Unexpected"),
    "JSON, unknown operation": (SMALL.to_json().replace("dil_conv_5x5", "conv"), "unknown operation 'conv'"),
    "JSON, backward": (SMALL.to_json().replace("[2, 3, ", "[3, 2, "), "must lead forward .*, not 3 -> 2"),
    "JSON, far": (SMALL.to_json().replace('"nodes": 2', '"nodes": 1000000000'), "numbers up to 99, not 1000000001"),
    "JSON, deep": ('{"normal":' * 5000 + "1" + "}" * 5000, "JSON of a genotype: "),
}  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_genotype_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@st.composite
def cells(draw: st.DrawFn, form: str) -> CellGenotype:
    """Any cell that ``form`` can say, its edges ordered by target."""
    nodes = draw(st.integers(1, 6))
    least, most = {"darts": (2, 2), "edge_all": (0, None)}.get(form, (0, 4))
    edges = []
    for node in range(2, nodes + 2):
        numbers = st.integers(0, node - 1)
        sources = draw(st.lists(numbers, min_size=least, max_size=most, unique=form == "edge_all"))
        edges += [(source, node, draw(st.sampled_from(sorted(EVALUATED)))) for source in sources]
    others = draw(st.sets(st.integers(2, nodes + 1)))
    return CellGenotype(2, nodes, tuple(edges), tuple(draw(st.permutations(sorted({*others, nodes + 1})))))


@pytest.mark.parametrize("form", [*FORMS, "json"])
@given(data=st.data())
def test_property_what_is_written_is_read_back(form: str, data: st.DataObject) -> None:
    reduce = cells(form)
    if form != "darts":
        reduce = st.none() | reduce
    genotype = Genotype(data.draw(cells(form)), data.draw(reduce))
    text = write(genotype, form)
    assert "\n" not in text
    assert read(text) == genotype


def test_exact_written_as_darts_prints_it() -> None:
    assert write(SMALL) == DARTS.replace("[2])", "range(2, 3))")
    jump = Genotype(CellGenotype(2, 2, NORMAL.edges, (3,)), CellGenotype(2, 2, NORMAL.edges, (3, 2)))
    assert "normal_concat=range(3, 4), " in write(jump)
    assert write(jump).endswith("reduce_concat=[3, 2])")


def test_exact_every_form_as_it_is_written() -> None:
    concat = "range(2, 4)"
    only = Genotype(NORMAL)
    rest = "reduce=None, reduce_concat=None"
    assert write(only, "nested") == spelt(NESTED, concat, rest)
    assert write(only, "triples") == spelt(f"[{TRIPLES}]", concat, rest)
    all_edges = f"[{PAIRS}, ('none', 0)]"
    assert write(only, "edge_all") == spelt(all_edges, concat, rest)


def test_edges_are_written_in_the_order_of_their_targets() -> None:
    turned = Genotype(CellGenotype(2, 2, NORMAL.edges[2:] + NORMAL.edges[:2], (2, 3)), REDUCE)
    for form in FORMS:
        assert read(write(turned, form)) == SMALL


@pytest.mark.parametrize("arch", ["DARTS_V1", "DARTS_V2", "NASNet", "AmoebaNet", "ENAS_micro", "SNAS_mild"])
def test_exact_released_genotypes_of_two_edges_a_node(arch: str) -> None:
    assert read(write(released(arch))) == released(arch)


STARVED = released("SNAS_aggressive")
ONE_INPUT = Genotype(CellGenotype(1, 1, ((0, 1, "skip_connect"),), (1,)), REDUCE)
LOOSE = Genotype(CellGenotype(2, 2, NORMAL.edges, (2,)), REDUCE)
OWN = Genotype(CellGenotype(2, 1, ((0, 2, "my_own"), (1, 2, "skip_connect")), (2,)), REDUCE)


@pytest.mark.parametrize(("genotype", "form", "sentence"), [
    (SMALL, "dart", "unknown form of a genotype 'dart'; did you mean 'darts'"),
    (STARVED, "darts", "reduction cell: node 2 does not have two edges, .*, but 1; nested"),
    (Genotype(NORMAL), "darts", "needs a reduction cell"),
    (OWN, "darts", "unknown operation of DARTS's code 'my_own'"),
    (released("NASNet"), "edge_all", "normal cell: node 3 reads a node twice, which edge_all cannot say"),
    *((ONE_INPUT, form, "normal cell has 1 input; only as json") for form in FORMS),
    *((LOOSE, form, "normal cell does not concatenate its last node, 3; only json can") for form in FORMS),
])  # fmt: skip
def test_a_form_refuses_what_it_cannot_say(genotype: Genotype, form: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        write(genotype, form)
    if genotype is not OWN and genotype is not SMALL:
        assert read(write(genotype, "json")) == genotype


def test_no_form_is_mistaken_for_another() -> None:
    """The number of nodes decides between two edges a node and all edges: 14 are those of 7 nodes, or of 4."""
    pairs = [("skip_connect", source) for source in (0, 1)] * 7
    wide = read(f"Genotype({pairs}, range(2, 9))").normal
    assert [target for _, target, _ in wide.edges] == sorted([*range(2, 9)] * 2)
    dense = read(f"Genotype({pairs}, range(2, 6))").normal
    every = [[node] * node for node in range(2, 6)]
    assert [target for _, target, _ in dense.edges] == list(itertools.chain(*every))
