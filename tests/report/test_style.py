"""Style: nothing leaks, eight operations are told apart three ways, the caption is there, torch is not."""

import subprocess
import sys

import matplotlib as mpl
import pytest

from nas_core.papers import OPERATIONS
from nas_core.report.curves import marker_positions
from nas_core.report.style import (
    SERIES,
    STYLES,
    WIRING_ORDER,
    new_figure,
    op_handles,
    op_style,
    short,
    use_style,
)


def test_report_imports_no_torch() -> None:
    code = "import sys, nas_core.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_style_does_not_leak_and_text_is_large_enough() -> None:
    with mpl.rc_context({"svg.hashsalt": "another", "font.size": 31}):
        before = dict(mpl.rcParams)
        with use_style():
            assert mpl.rcParams["svg.hashsalt"] == "nas-core"
            sizes = [mpl.rcParams[k] for k in ("font.size", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")]
        assert min(sizes) >= 7
        assert dict(mpl.rcParams) == before


def test_drawing_leaves_no_pyplot_figure() -> None:
    import matplotlib.pyplot as plt

    new_figure(2, 2, 1, 2)
    assert plt.get_fignums() == []


def test_every_operation_has_its_own_colour_and_marker() -> None:
    assert set(STYLES) == set(WIRING_ORDER)
    assert len({s.colour for s in STYLES.values()}) == len({s.marker for s in STYLES.values()}) == 8
    assert len(set(SERIES)) == len({(line, marker) for _, line, marker in map(_hashable, SERIES)}) == len(SERIES)


def _hashable(series):
    return series[0], str(series[1]), series[2]


@pytest.mark.parametrize(("label", "name"), OPERATIONS.items())
def test_full_and_short_names_mean_the_same(label: str, name: str) -> None:
    assert short(name) == short(label) == label
    assert op_style(name) == op_style(label)


def test_unknown_operations_are_grey_under_their_own_name() -> None:
    assert op_style("mixer").label == "mixer"
    assert op_style("mixer").colour not in {s.colour for s in STYLES.values()}


def test_legend_entries_carry_label_colour_marker() -> None:
    for handle, name in zip(op_handles(WIRING_ORDER), WIRING_ORDER, strict=True):
        style = STYLES[name]
        assert (handle.get_label(), handle.get_color(), handle.get_marker()) == (name, style.colour, style.marker)


def test_markers_of_neighbouring_curves_do_not_coincide() -> None:
    marks = [set(marker_positions(41, k)) for k in range(3)]
    assert all(a.isdisjoint(b) for k, a in enumerate(marks) for b in marks[:k])
    assert marker_positions(1, 5) == [0]
