"""Explorers: their numbers against closed forms, their pictures, and controls that move them, without a browser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure

from nas_core.cells.exchange import write
from nas_core.cells.genotype import released
from nas_core.errors import UserError
from nas_core.experiments import configs
from nas_core.explore import cell, edge, pasted, search
from nas_core.explore.live import Explorer, choice, shown, signed, slider, whole_slider
from nas_core.relaxations import through_softmax
from nas_core.report.style import new_figure
from nas_core.trainers import build

LOGITS = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
COST = torch.tensor([0.0, 0.5, -1.0], dtype=torch.float64)
LAW = through_softmax(LOGITS.softmax(-1), COST).numpy()
DARTS_V2 = write(released("DARTS_V2"))


def text_of(figure: Figure) -> str:
    """All words in a picture."""
    from matplotlib.text import Text

    return "\n".join(t.get_text() for t in figure.findobj(Text) if isinstance(t, Text))


# ---------------------------------------------------------------------------------------------------------- an edge


@pytest.mark.parametrize("method", ["DARTS", "ProxylessNAS, all paths"])
def test_methods_without_chance_have_the_exact_gradient(method: str) -> None:
    found = edge.sample(method, LOGITS, COST, 1.0)
    assert np.abs(found.mean - LAW).max() < 1e-12
    assert found.spread.max() < 1e-12


@pytest.mark.parametrize("method", ["DSNAS", "REINFORCE"])
def test_drawn_paths_have_the_exact_gradient_in_the_mean(method: str) -> None:
    assert edge.disagreement([method], LOGITS.tolist(), COST.tolist()) < 5


def test_the_relaxed_draw_has_another_mean() -> None:
    assert edge.disagreement(["SNAS"], LOGITS.tolist(), COST.tolist()) > 5


def test_one_hot_draws_follow_the_probabilities() -> None:
    z = edge.sample("DSNAS", LOGITS, COST, 1.0).z
    p = LOGITS.softmax(-1).numpy()
    error = np.sqrt(p * (1 - p) / edge.DRAWS)
    assert (np.abs(z.mean(0) - p) < 4 * error).all()


def test_temperature_moves_the_draws_of_snas_to_the_corners() -> None:
    warm, cold = (edge.sample("SNAS", LOGITS, COST, temperature).z.max(1).mean() for temperature in (5.0, 0.05))
    assert cold > 0.97 > 0.6 > warm


def test_logit_and_probability_of_none_may_part() -> None:
    p = torch.tensor([0.1, 0.8, 0.1], dtype=torch.float64)
    assert edge.none_moves(p.log(), torch.tensor([0.0, -1.0, 9.0]).double()) == ("rises", "falls")
    assert edge.none_moves(p.log(), torch.tensor([0.0, 1.0, 1.0]).double()) == ("rises", "rises")
    assert edge.none_moves(p.log(), torch.zeros(3).double()) == ("stays", "stays")


def test_the_picture_of_an_edge_says_what_none_does() -> None:
    figure = edge.edge_figure((0.0, 2.0, 0.0), (0.0, -1.0, 9.0), 0.5)
    assert "logit of none rises, its probability falls" in text_of(figure)


# ---------------------------------------------------------------------------------------------------------- a cell


@pytest.mark.parametrize("last", cell.FULL_NAMES)
def test_both_theorems_hold_in_a_cell(last: str) -> None:
    ops = [cell.FULL_NAMES[op] for op in ("sep3", "skip", "max", "dil3", last)]
    found = cell.measure(ops, seed=3)
    assert found.gap < 1e-12
    assert (abs(found.passed) > 1e-4) == (last == "skip")
    assert (found.cost[4] == 0) == (last == "none")


def test_a_skip_passes_on_what_would_be_missing() -> None:
    ops = [cell.FULL_NAMES[op] for op in ("sep3", "skip", "max", "dil3", "skip")]
    found = cell.measure(ops, seed=3)
    node_2 = found.of_nodes[0]
    assert abs(node_2 - found.paid[0]) > 1e-4
    assert abs(node_2 - found.paid[0] - found.passed) < 1e-12


def test_a_cell_of_nothing_guesses() -> None:
    found = cell.measure(["none"] * 5, seed=0)
    assert found.cost.tolist() == [0] * 5
    assert found.loss == pytest.approx(np.log(10))
    assert found.entropy == pytest.approx(np.log(10))


def test_counts_of_a_cell() -> None:
    # sep_conv_3x3: twice a depthwise 3x3 and a pointwise convolution, 2 (9 C + C^2); dil_conv_3x3 once.
    sep, dil = 2 * (9 * 16 + 16 * 16), 9 * 16 + 16 * 16
    ops = ["sep_conv_3x3", "none", "max_pool_3x3", "skip_connect", "dil_conv_3x3"]
    assert cell.counts(ops) == (sep + dil, (sep + dil) * 32 * 32)


def test_the_picture_of_a_cell_has_its_numbers() -> None:
    ops = [cell.FULL_NAMES[op] for op in ("sep3", "none", "max", "skip", "dil3")]
    words = text_of(cell.cell_figure(ops, seed=1))
    assert "1,200 parameters, 1,228,800 multiply-adds" in words
    assert signed(cell.measure(ops, seed=1).cost[0], 3) in words


# -------------------------------------------------------------------------------------------------------- a search


@pytest.fixture(scope="module")
def evolution() -> search.Evolution:
    config = configs("W-DSNAS8", "smoke", [0])[0]
    trainer = build(config)
    while trainer.done < trainer.total:
        trainer.step()
    return search.Evolution.of(config, trainer.result())


def test_an_evolution_has_one_state_more_than_epochs(evolution: search.Evolution) -> None:
    assert evolution.prob.shape == (evolution.epochs + 1, 14, 8)
    assert len(evolution.cells) == evolution.epochs + 1
    assert evolution.cost.shape == (evolution.epochs, 14)
    assert evolution.losses["epoch"].tolist() == list(range(1, evolution.epochs + 1))


def test_costs_of_an_evolution_are_loss_minus_entropy(evolution: search.Evolution) -> None:
    gap = evolution.losses["L"] - evolution.losses["H"]
    assert np.abs(evolution.cost.sum(1) - evolution.leak - gap).max() < 1e-3


def test_bars_of_an_evolution_are_its_probabilities(evolution: search.Evolution) -> None:
    figure = search.evolution_figure(evolution, 1)
    bars = sorted(bar.get_width() for bar in figure.axes[1].patches)
    assert np.allclose(bars, sorted(evolution.prob[1].ravel()))
    assert "after epoch 1" in text_of(figure)


def test_an_epoch_beyond_the_end_is_the_last_one(evolution: search.Evolution) -> None:
    assert f"after epoch {evolution.epochs}:" in text_of(search.evolution_figure(evolution, 999))


# ------------------------------------------------------------------------------------------------------ a genotype


def test_a_pasted_genotype_is_counted() -> None:
    table = pasted.sizes(DARTS_V2)
    assert table.iloc[0].tolist() == [3_349_342, 528_359_040]
    assert table.iloc[1].tolist() == [4_718_752, 529_911_552]
    assert "3.35 M parameters, 528 M multiply-adds" in text_of(pasted.pasted_figure(DARTS_V2))


def test_a_bad_genotype_is_one_sentence_and_the_picture_stays() -> None:
    explorer = pasted.explore(DARTS_V2)
    before = explorer.figure
    explorer.controls["text"].value = DARTS_V2.replace("sep_conv_3x3", "sep_conv_9x9")
    assert explorer.figure is before
    assert "sep_conv_9x9" in explorer.message.value
    explorer.controls["text"].value = write(released("DARTS_V1"))
    assert explorer.message.value == ""
    assert explorer.figure is not before


def test_nothing_pasted_says_what_to_paste() -> None:
    with pytest.raises(UserError, match="paste a genotype"):
        pasted.pasted_figure("  ")


# ------------------------------------------------------------------------------------------------- controls, pictures


def line(slope: float) -> Figure:
    """A picture that depends on one number."""
    figure, axes = new_figure(2, 2)
    axes[0, 0].plot([0, 1], [0, slope])
    figure.set_label(f"a line of slope {slope}")
    return figure


def displayed(explorer: Explorer) -> list[Any]:
    """What an explorer shows at the end of a notebook's cell."""
    InteractiveShell.instance()
    with capture_output() as captured:
        explorer._ipython_display_()
    return [output.data for output in captured.outputs]


def test_a_moved_control_draws_anew() -> None:
    explorer = Explorer(line, {"slope": slider("slope", 1.0, 0, 2)})
    explorer.controls["slope"].value = 2.0
    assert explorer.figure.get_label() == "a line of slope 2.0"


def test_somebody_who_watches_sees_controls_and_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_DRIVER", raising=False)
    controls, picture = displayed(Explorer(line, {"slope": slider("slope", 1.0, 0, 2)}))
    assert "application/vnd.jupyter.widget-view+json" in controls
    assert picture["image/png"]


def test_the_driver_stores_the_picture_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DRIVER", "figures/")
    (picture,) = displayed(Explorer(line, {"slope": slider("slope", 1.0, 0, 2)}))
    assert set(picture) == {"image/png", "text/plain"}


def test_every_explorer_has_controls_of_its_pictures_arguments(evolution: search.Evolution) -> None:
    explorers = [edge.explore(), cell.explore(), search.explore({"one": evolution}), pasted.explore(DARTS_V2)]
    for explorer in explorers:
        data, metadata = shown(explorer.figure)
        assert data["image/png"].startswith(b"\x89PNG")
        assert len(metadata["image/png"]["alt"]) > 20


def test_rewiring_moves_the_picture() -> None:
    explorer = cell.explore()
    before = shown(explorer.figure)[0]["image/png"]
    explorer.controls["edge_4"].value = "none"
    assert shown(explorer.figure)[0]["image/png"] != before
    assert "edge 2 → 3" in explorer.controls["edge_4"].description


def test_scrubbing_moves_the_picture(evolution: search.Evolution) -> None:
    explorer = search.explore({"one": evolution}, epoch=0)
    explorer.controls["epoch"].value = 1
    assert "after epoch 1" in text_of(explorer.figure)
    assert explorer.controls["epoch"].max == evolution.epochs


def test_signs_are_true_ones() -> None:
    assert [signed(value) for value in (0.126, -0.126, 0.0, -0.001)] == ["+0.13", "−0.13", "0.00", "0.00"]


def test_controls_speak_when_they_are_let_go() -> None:
    assert not slider("a", 1.0, 0, 2).continuous_update
    assert not whole_slider("b", 1, 0, 2).continuous_update
    assert choice("c", ["x", "y"], "y").value == "y"
