"""Every method runs from its settings to its result, with all probes, and what it records hangs together."""

import numpy as np
import pytest
import torch
from small import METHODS, assert_same, config, finished, run

from nas_core.cells.genotype import DERIVE_RULES, Genotype
from nas_core.cells.operations import CANDIDATES, NORMALISERS, ORDERS
from nas_core.probes.architecture import entropy
from nas_core.trainers.result import Result
from nas_core.trainers.search import Search
from nas_core.trainers.settings import Network

CELL = {"channels": 4, "reductions": False, "head_bias": False}


def assert_hangs_together(search: Search, result: Result) -> None:
    """Shapes, and identities between what different probes saw."""
    settings, topology = search.config, search.space.topology
    epochs, types, layers = settings.epochs, len(search.logits), settings.network.layers
    edges, ops = len(topology.edges), len(settings.network.candidates)
    prob = result.arrays["prob"]
    assert prob.shape == (epochs + 1, types, edges, ops)
    assert prob.dtype == np.float64
    np.testing.assert_allclose(prob.sum(-1), 1)
    np.testing.assert_allclose(result.arrays["arch_entropy"], entropy(torch.from_numpy(prob)).numpy())
    np.testing.assert_allclose(prob[-1], torch.softmax(search.masked_logits().double(), -1).numpy())
    for rule, derive in DERIVE_RULES.items():
        genotypes = result.genotypes[rule]
        assert len(genotypes) == epochs + 1
        for genotype, at in zip(genotypes, prob, strict=True):
            cells = [derive(p, settings.network.candidates, topology) for p in at]
            assert genotype == Genotype(*cells)
            assert genotype.normal.nodes == topology.nodes
    shapes = dict.fromkeys(("cost_sum", "cost_sq", "cost_n"), (epochs, layers, edges, ops))
    shapes |= {"edge_cost": (epochs, layers, edges), "out_cost": (epochs, layers), "skip_leak": (epochs, layers)}
    for name, shape in shapes.items():
        assert result.arrays[name].shape == shape
        assert np.isfinite(result.arrays[name]).all()
    losses = result.tables["losses"]
    splits = ["search", "train"] if settings.method.levels == "bi-level" else ["train"]
    assert sorted(losses["split"].unique()) == splits
    assert len(losses) == epochs * len(splits) * 3
    seen = settings.steps_per_epoch * settings.batch
    whole = losses[losses.group == "all"]
    assert (whole.n == seen).all()
    np.testing.assert_allclose(losses.C.dropna(), (losses.L - losses.H).dropna(), atol=1e-9)
    if not settings.network.head_bias:
        # Theorem 2 in the record: the cost at the last output node, from gates, is L - H, from logits.
        ours = whole[whole.split == splits[0]].C.to_numpy()
        np.testing.assert_allclose(result.arrays["out_cost"][:, -1], ours, rtol=1e-3, atol=1e-6)
    accuracy = result.tables["accuracy"]
    assert accuracy.acc.between(0, 1).all()
    assert accuracy[accuracy.split == "valid"].epoch.tolist() == list(range(1, epochs + 1))
    final = accuracy[accuracy.split == "test"]
    assert (final.epoch == epochs).all()
    assert sorted(zip(final.network, final.statistics, strict=True)) == sorted(
        (n, s) for n in ("supernet", "child (argmax)", "child (darts)") for s in ("as trained", "recalibrated")
    )


@pytest.mark.parametrize("method", METHODS)
def test_end_to_end(method: str) -> None:
    search = Search(config(method))
    losses = []
    while search.done < search.total:
        losses.append(search.step())
    assert np.isfinite(losses).all()
    assert_hangs_together(search, search.result())
    assert_same(search.state(), finished(method).state())


@pytest.mark.parametrize("method", METHODS)
def test_end_to_end_with_reductions_and_bias(method: str) -> None:
    network = Network(nodes=3, channels=4, layers=3, reductions=True, head_bias=True)
    search = run(Search(config(method, network=network)))
    assert search.logits.shape == (2, 9, 8)
    assert_hangs_together(search, search.result())
    genotype = search.result().genotypes["darts"][-1]
    assert genotype.reduce is not None
    assert genotype.reduce.width() + genotype.reduce.mid() == 6


@pytest.mark.parametrize("method", [name for name in METHODS if config(name).formulation == "fused"])
def test_both_formulations_search_alike(method: str) -> None:
    """Six steps in float32: logits that have moved by 0.2 or more differ by less than 1e-5, and weights likewise."""
    fused, plain = finished(method), run(Search(config(method, formulation="plain")))
    assert type(fused.model) is not type(plain.model)
    torch.testing.assert_close(fused.logits, plain.logits, rtol=0, atol=1e-5)
    for ours, theirs in zip(fused.weights, plain.weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


@pytest.mark.parametrize("cell", ["minimal", "simplified", "modified"])
@pytest.mark.parametrize("method", ["one-hot", "softmax bi-level"])
def test_end_to_end_in_other_cells(method: str, cell: str) -> None:
    search = run(Search(config(method, network=Network(cell=cell, layers=1, **CELL))))
    assert_hangs_together(search, search.result())


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_end_to_end_in_other_styles(normaliser: str, order: str) -> None:
    network = Network(cell="minimal", layers=2, normaliser=normaliser, affine=True, order=order, **CELL)
    search = run(Search(config("one-hot", network=network)))
    assert_hangs_together(search, search.result())


def test_end_to_end_with_fewer_candidates() -> None:
    ops = ("none", "skip_connect", "sep_conv_3x3")
    search = run(Search(config("concrete single", network=Network(cell="minimal", layers=1, candidates=ops, **CELL))))
    assert_hangs_together(search, search.result())


def test_end_to_end_training_learns() -> None:
    """Twenty epochs on sixty images: the loss falls well below that of guessing."""
    search = run(Search(config(epochs=20, probes=("losses",))))
    losses = search.result().tables["losses"].query("group == 'all'")
    assert losses.L.iloc[0] > 1.8
    assert losses.L.iloc[-1] < 1.3


def test_only_what_is_probed_is_recorded() -> None:
    result = run(Search(config(probes=()))).result()
    assert set(result.arrays) == {"prob", "arch_entropy"}
    assert result.tables == {}
    assert set(result.genotypes) == set(DERIVE_RULES)
    assert set(run(Search(config(probes=("accuracy",)))).result().tables) == {"accuracy"}


def test_uniform_paths_are_uniform() -> None:
    """All eight candidates of every edge are drawn about equally often, and the logits rest."""
    settings = config("uniform", epochs=40, probes=("costs",))
    result = run(Search(settings.but(data=settings.data.but(valid=0, test=0)))).result()
    drawn = result.arrays["cost_n"].sum((0, 1))
    assert (drawn.sum(-1) == 120).all()
    assert (abs(drawn - 15) < 5 * 15**0.5).all()
    assert (result.arrays["prob"] == result.arrays["prob"][0]).all()
    assert (result.arrays["cost_sum"][..., CANDIDATES.index("none")] == 0).all()
