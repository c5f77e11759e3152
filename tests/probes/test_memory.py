"""What an edge keeps for the backward pass: a mixture all of it, a path its own, and a process at least that."""

import itertools

import numpy as np
import pytest
import torch
from small import generator

from nas_core.cells.operations import CANDIDATES
from nas_core.probes.memory import (
    ALL,
    MEBI,
    MIXTURE,
    MODES,
    ONE,
    RECOMPUTED,
    TWO,
    Step,
    edge_output,
    kept,
    kept_by_edge,
    lone_edge,
    peak_mib,
)


def mean_kept(mode, count):
    """The mean over all sets of candidates and all choices of paths, in bytes."""
    return np.mean([np.mean(kept_by_edge(mode, chosen)) for chosen in itertools.combinations(CANDIDATES, count)])


@pytest.mark.claim("C-N8c")
def test_exact_the_mixture_is_linear_in_the_number_of_candidates():
    two, five, eight = (mean_kept(MIXTURE, count) for count in (2, 5, 8))
    assert eight / two == pytest.approx(4, rel=0.01)
    assert five == pytest.approx((two + eight) / 2, rel=0.01)


@pytest.mark.claim("C-N8d")
@pytest.mark.parametrize("mode", [TWO, ONE, RECOMPUTED])
def test_exact_paths_keep_as_much_whatever_the_number_of_candidates(mode):
    assert mean_kept(mode, 8) / mean_kept(mode, 2) == pytest.approx(1, abs=0.01)


def test_exact_observed_outputs_are_kept_and_recomputed_ones_are_not():
    """With the convolution active: one map for each of the other outputs that there are, none none."""
    observed, anew, one = (kept_by_edge(mode, CANDIDATES)[4] for mode in (ALL, RECOMPUTED, ONE))
    maps = 16 * 16 * 7 * 7 * 4
    assert observed - one >= 6 * maps
    assert anew == one  # the edge's input is there anyway


@pytest.mark.parametrize("path", range(8))
def test_exact_recomputed_costs_are_those_of_observed_outputs(path):
    edge = lone_edge(CANDIDATES, 4, generator(0)).double()
    x = torch.randn(3, 4, 5, 5, generator=generator(1), dtype=torch.float64)
    weight = torch.randn(3, 4, 5, 5, generator=generator(2), dtype=torch.float64)
    found = []
    for mode in (ALL, RECOMPUTED):
        gates = torch.zeros(8, dtype=torch.float64, requires_grad=True)
        leaf = x.clone().requires_grad_()
        output = edge_output(edge, leaf, gates, mode, (path, path))
        cost, back = torch.autograd.grad((weight * output).sum(), [gates, leaf], materialize_grads=True)
        found.append((output.detach(), cost, back))
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-13)
    assert found[0][1].abs().max() > 0.1


@pytest.mark.parametrize("mode", MODES)
def test_a_chain_keeps_more_the_longer_it_is(mode):
    lengths = [kept(Step(mode, CANDIDATES, edges)) for edges in (1, 2, 4, 8)]
    assert lengths == sorted(set(lengths))
    if mode == MIXTURE:
        steps = np.diff(lengths)
        assert list(steps[1:] / steps[0]) == [2, 4]


def test_a_fresh_process_takes_at_least_what_is_kept_for_the_mixture_and_less_for_a_path():
    steps = [Step(mode, CANDIDATES, 4, images=64, side=14) for mode in (MIXTURE, ONE)]
    mixture, one = peak_mib(steps)
    assert mixture > kept(steps[0]) / MEBI > one > 0
