"""Save: the layout on disk, bytes that repeat, and never half an artefact."""

import errno
import io
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from nas_core import papers
from nas_core.cells.genotype import CellGenotype
from nas_core.cells.topology import minimal_cell
from nas_core.claims.verdict import Null, Verdict
from nas_core.errors import UserError
from nas_core.report import new_figure, picture, save, show, topology_snapshots
from nas_core.report.footer import get_caption
from nas_core.report.save import DPI, few_colours, used_versions
from nas_core.report.style import STYLES, op_style

VERDICTS = [
    Verdict(
        "C-W3a",
        "holds",
        0.95,
        ">= 0.9",
        (0, 1),
        (0.9, 1.0),
        met=2,
        p_holds=0.97,
        p_value=0.01,
        null=Null("operations shuffled", math.nan, meets=False),
        note="fine",
    ),
    Verdict("C-W3b", "fails", math.nan, "> 0", (0, 1)),
    Verdict("C-W3c", "not run"),
]
TABLE = pd.DataFrame({"epoch": [0, 1, 2], "p": [0.1, 1 / 3, 0.1 + 0.2]})


def figure() -> Figure:
    made, axes = new_figure(3, 2)
    axes[0, 0].plot(TABLE.epoch, TABLE.p, label="p")
    made.legend(loc="outside lower center")
    return made


def do(out: Path, **changes) -> Path:
    settings = {
        "figure": figure(), "table": TABLE, "title": "A title",
        "caption": "SNAS on Fashion-MNIST.", "profile": "smoke", "dataset": "Fashion-MNIST 14x14",
        "seeds": [0, 1], "runs": ["W-SNAS8"], "verdicts": VERDICTS, "out": out, "svg": True,
    } | changes  # fmt: skip
    return save(settings.pop("artefact", "WI-F3"), settings.pop("figure"), settings.pop("table"), **settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_are_where_the_paper_is(tmp_path: Path) -> None:
    assert do(tmp_path) == tmp_path / "wiring" / "WI-F3.png"
    assert set(contents(tmp_path)) == {f"wiring/WI-F3.{kind}" for kind in ("png", "svg", "csv", "json")}
    for artefact, paper in (("PO-2", "wiring"), ("SN-T1", "snas"), ("NT-1", "darts-proxylessnas")):
        assert do(tmp_path, artefact=artefact, figure=None, svg=False).parent.name == paper


def test_json_has_exactly_what_the_design_says(tmp_path: Path) -> None:
    content = json.loads(do(tmp_path).with_suffix(".json").read_text())
    claims = content.pop("claims")
    assert content == {
        "id": "WI-F3",
        "title": "A title",
        "caption": "SNAS on Fashion-MNIST.",
        "profile": "smoke",
        "dataset": "Fashion-MNIST 14x14",
        "seeds": [0, 1],
        "runs": ["W-SNAS8"],
        "versions": used_versions(),
    }
    assert claims[0] == {
        "id": "C-W3a",
        "verdict": "holds",
        "value": 0.95,
        "threshold": ">= 0.9",
        "seeds": [0, 1],
        "interval": [0.9, 1.0],
        "met": 2,
        "p_holds": 0.97,
        "p_value": 0.01,
        "n": None,
        "null": {"words": "operations shuffled", "value": None, "meets": False, "reaches": False},
        "note": "fine",
    }
    assert [claim["value"] for claim in claims] == [0.95, None, None]
    assert [claim["interval"] for claim in claims] == [[0.9, 1.0], None, None]


def test_a_part_stands_beside_its_artefact(tmp_path: Path) -> None:
    do(tmp_path)
    path = do(tmp_path, part="b", verdicts=())
    assert path == tmp_path / "wiring" / "WI-F3-b.png"
    assert json.loads(path.with_suffix(".json").read_text())["id"] == "WI-F3-b"
    assert (tmp_path / "wiring" / "WI-F3.png").exists()


def test_a_picture_below_the_standard_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"WI-F3 cannot be saved: .* is not in its table"):
        do(tmp_path, table=TABLE.assign(p=0.5))
    assert not contents(tmp_path)


def test_a_picture_is_shown_with_words_for_whoever_cannot_see_it(tmp_path: Path) -> None:
    drawn = figure()
    with pytest.raises(UserError, match="a picture needs a sentence"):
        show(drawn)
    show(drawn, alt="A line.")
    do(tmp_path, figure=drawn)
    show(drawn)
    assert drawn.get_label() == "A title. SNAS on Fashion-MNIST."


def test_versions_are_those_in_use(tmp_path: Path) -> None:
    content = json.loads(do(tmp_path).with_suffix(".json").read_text())
    assert content["versions"]["numpy"] == np.__version__
    assert {"python", "torch", "pandas", "matplotlib"} <= set(content["versions"])


def test_csv_reads_back_bit_equal_and_keeps_a_named_index(tmp_path: Path) -> None:
    path = do(tmp_path).with_suffix(".csv")
    assert path.read_text().startswith("epoch,p\n0,0.1\n")
    assert [float(line.split(",")[1]) for line in path.read_text().splitlines()[1:]] == TABLE.p.tolist()
    path = do(tmp_path, table=TABLE.set_index(pd.Index(list("abc"), name="edge"))).with_suffix(".csv")
    assert path.read_text().startswith("edge,epoch,p\na,0,0.1\n")


def test_two_saves_are_byte_identical(tmp_path: Path) -> None:
    do(tmp_path / "a")
    do(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    same = figure()
    do(tmp_path / "c", figure=same)
    do(tmp_path / "c", figure=same)
    assert contents(tmp_path / "a") == contents(tmp_path / "c")


def test_pictures_carry_neither_versions_nor_dates(tmp_path: Path) -> None:
    for data in contents(do(tmp_path).parent).values():
        assert b"Software" not in data
        assert b"<dc:date>" not in data
    png = (tmp_path / "wiring/WI-F3.png").read_bytes()
    width = int.from_bytes(png[16:20], "big")
    assert DPI <= 150
    assert width == 3 * DPI


DRAWN_AFTER_OTHER_THINGS = """
import hashlib, sys
before = [bytes(size) for size in range(int(sys.argv[1]))]
from matplotlib.patches import Circle
from nas_core.cells.topology import minimal_cell
from nas_core.report import draw_cell, new_figure, picture
for _ in range(int(sys.argv[1]) // 1000):
    picture(draw_cell(None, minimal_cell()).figure, "svg")
figure, ((left, right),) = new_figure(5, 2, 1, 2)
draw_cell(left, minimal_cell())
for size in (1, 2):  # clip paths that are not rectangles
    image = right.imshow([[0, 1], [2, 3]])
    image.set_clip_path(Circle((0.5, 0.5), size, transform=right.transData))
print(hashlib.sha256(picture(figure, "svg")).hexdigest())
"""


def test_the_same_figure_is_the_same_svg_whatever_the_process_did_before() -> None:
    digests = set()
    for history, seed in (("0", "0"), ("3000", "1"), ("20000", "2")):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", DRAWN_AFTER_OTHER_THINGS, history]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_the_last_bits_of_a_layout_do_not_show_in_an_svg() -> None:
    """Rounding differs from machine to machine; what a file says of a position has six decimals."""
    pictures = set()
    for width in (0.8, np.nextafter(0.8, 1)):
        drawn = Figure(figsize=(3, 2))
        drawn.add_axes((0.1, 0.1, width, 0.8)).plot([0, 1], [0, 1])
        pictures.add(picture(drawn, "svg"))
    assert len(pictures) == 1


def test_clip_paths_are_numbered_and_every_one_is_used() -> None:
    drawn, _ = new_figure(3, 2, 1, 2)
    for ax in drawn.axes:
        ax.plot([0, 1], [0, 1])
    svg = picture(drawn, "svg").decode()
    assert re.findall(r'<clipPath id="(\w+)"', svg) == ["clip0", "clip1"]
    assert set(re.findall(r"url\(#(\w+)\)", svg)) == {"clip0", "clip1"}


def test_verdicts_and_caption_stand_below_every_picture(tmp_path: Path) -> None:
    drawn = figure()
    do(tmp_path, figure=drawn)
    assert get_caption(drawn) == "SNAS on Fashion-MNIST."
    texts = [text.get_text() for text in drawn.texts]
    assert texts[0] == "fails"
    assert "holds" in texts


def test_a_legend_below_does_not_slide_onto_the_caption() -> None:
    cell = CellGenotype(2, 2, ((0, 2, "skip_connect"),), (2, 3))
    drawn = topology_snapshots([cell], [0], minimal_cell())
    seen: list[tuple[float, float]] = []
    legend, ax = drawn.legends[0], drawn.axes[0]
    draw = legend.draw
    legend.draw = lambda renderer: (
        draw(renderer),
        seen.append((legend.get_window_extent().y0, ax.get_window_extent().y0 - legend.get_window_extent().y1)),
    )
    picture(drawn)
    below, gap = seen[-1]
    assert below >= 0, "on the caption"
    assert gap >= 0, "on the drawing"
    assert legend.get_bbox_to_anchor() is drawn.bbox, "as it was"


def test_few_colours_keep_every_operation_apart() -> None:
    ops = list(STYLES)
    drawn, axes = new_figure(4, 3)
    for i, op in enumerate(ops):  # a little of each, beside curves that have thousands of colours
        axes[0, 0].plot([0, 1], [i, i], color=op_style(op).colour, lw=2, marker="o")
    axes[0, 0].plot(4 + np.random.default_rng(0).normal(size=(200, 20)).cumsum(0) / 9, lw=0.5)
    small = few_colours(picture(drawn, dpi=100))
    pixels = (255 * imread(io.BytesIO(small))[..., :3]).reshape(-1, 3)
    for op in ops:
        colour = 255 * np.array(to_rgb(op_style(op).colour))
        assert np.abs(pixels - colour).max(1).min() <= 8, op
    assert len(small) < len(picture(drawn, dpi=100))


def test_without_svg_an_older_svg_goes(tmp_path: Path) -> None:
    do(tmp_path)
    assert (tmp_path / "wiring/WI-F3.svg").exists()
    do(tmp_path, svg=False)
    assert not (tmp_path / "wiring/WI-F3.svg").exists()


@pytest.mark.parametrize("artefact", ["WI-F33", "../WI-F3"])
def test_unknown_artefacts_are_named(tmp_path: Path, artefact: str) -> None:
    with pytest.raises(UserError, match=f"unknown artefact '{artefact}'; did you mean 'WI-F3"):
        do(tmp_path, artefact=artefact)
    assert not contents(tmp_path)


def test_an_artefact_needs_numbers(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="WI-F3 has no numbers"):
        do(tmp_path, table=pd.DataFrame())


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    do(tmp_path)
    before, calls = contents(tmp_path), []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        UserError, match=r"cannot save WI-F3 in .*wiring \(no space left on device\); free space"
    ) as caught:
        do(tmp_path, title="Another", table=TABLE.assign(more=2))
    assert str(caught.value).count("\n") == 0
    assert contents(tmp_path) == before


def test_a_folder_that_is_none_and_a_file_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot save WI-F3 in .*\(not a directory\)"):
        do(tmp_path / "file")
    (tmp_path / "wiring/WI-F3.json").mkdir(parents=True)
    with pytest.raises(UserError, match=r"\(WI-F3.json is a folder\)"):
        do(tmp_path)
    assert not contents(tmp_path / "wiring")


def test_property_every_artefact_can_be_saved(tmp_path: Path) -> None:
    known = papers.artefacts()
    for artefact in known.index[::25]:
        path = do(tmp_path, artefact=artefact, figure=None, svg=False)
        assert path.parent.name == known.paper[artefact]
