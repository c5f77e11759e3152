"""One backward pass taken apart, in any cell of a network."""

import pytest
import torch
from small import batch, costs, network, random_path

from nas_core.cells.operations import CANDIDATES
from nas_core.cells.topology import modified_cell
from nas_core.probes.passes import backward


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
def test_exact_a_pass_says_what_the_gates_say_in_every_cell(layer: int) -> None:
    """Costs of edges and of the output are the gradients of their gates, in the cell that was asked for."""
    model = network(layers=3)
    gates = random_path(model, CANDIDATES[1:], 3)
    loss, logits, by_gate, by_output = costs(model, gates, *batch())
    seen = backward(model, gates, *batch(), layer=layer)
    torch.testing.assert_close(seen.cost, (gates * by_gate)[layer].sum(-1), rtol=0, atol=1e-15)
    torch.testing.assert_close(seen.output_cost, by_output[layer], rtol=0, atol=1e-14)
    torch.testing.assert_close(seen.loss, loss, rtol=0, atol=0)
    torch.testing.assert_close(seen.logits, logits, rtol=0, atol=0)


def test_exact_a_node_is_found_where_the_output_has_it() -> None:
    """The map of a node is the sum of what its edges delivered, also where not all nodes reach the output."""
    model = network(modified_cell())
    seen = backward(model, random_path(model, CANDIDATES[1:], 0), *batch())
    (node,) = modified_cell().output
    edges = modified_cell().incoming[node]
    torch.testing.assert_close(seen.map(node), sum(seen.maps[edge] for edge in edges))
    torch.testing.assert_close(seen.to_output(node), seen.output_cost)
