"""What a search records besides its steps: children of the right cells, and states that loading leaves alone."""

import copy

import torch
from small import assert_same, config, generator, run, through_a_file

from nas_core.cells.genotype import derive_darts
from nas_core.probes.accuracy import genotype_gates
from nas_core.trainers.search import Search
from nas_core.trainers.settings import Network


def test_a_child_has_in_every_layer_the_cell_of_its_type() -> None:
    """One normal and two reduction cells, of two different derived cells."""
    network = Network(nodes=2, channels=4, layers=3, reductions=True, head_bias=True)
    search = Search(config(network=network))
    candidates, topology = search.space.candidates, search.space.topology
    prob = torch.rand(2, len(topology.edges), len(candidates), generator=generator()).numpy()
    cells = [derive_darts(p, candidates, topology) for p in prob]
    assert cells[0] != cells[1]
    gates = search.observer._child(cells).gates()
    assert search.model.cell_type == [0, 1, 1]
    for layer, kind in enumerate(search.model.cell_type):
        assert torch.equal(gates[layer], genotype_gates(cells[kind], candidates, topology))


def test_a_state_stays_as_it_was_when_a_search_goes_on_from_it() -> None:
    search = Search(config())
    state = through_a_file(search.state())
    before = copy.deepcopy(state)
    search.load_state(state)
    run(search)
    assert_same(state, before)
