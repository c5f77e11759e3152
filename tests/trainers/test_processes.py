"""Several processes: two halves of a batch give the gradients of the whole."""

import subprocess
import sys
from pathlib import Path

import torch
from small import batch, mixture, network
from torch import nn

from nas_core.cells.topology import minimal_cell
from nas_core.trainers.gradients import gradients

CHILD = """
import sys
import torch
import torch.distributed as dist
sys.path.insert(0, {tests!r})
from test_processes import measured
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
torch.save(measured(slice(8 * rank, 8 * rank + 8)), sys.argv[3] + str(rank))
dist.destroy_process_group()
"""


def measured(part: slice) -> list[torch.Tensor | None]:
    """Gradients of the weights and the costs of the gates, on some images; statistics are fixed, as they are local."""
    model = network(minimal_cell(), layers=2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    images, labels = batch(16)
    gates = mixture(model).requires_grad_()
    unused = torch.zeros(1, requires_grad=True)
    loss = nn.functional.cross_entropy(model(images[part], gates), labels[part])
    return gradients(loss, [*model.parameters(), gates, unused])


def test_exact_two_processes_give_the_gradients_of_the_whole_batch(tmp_path: Path) -> None:
    script = CHILD.format(tests=str(Path(__file__).parent))
    arguments = [str(tmp_path / "meeting"), str(tmp_path / "gradients")]
    environment = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(rank), *arguments], env=environment) for rank in (0, 1)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    whole, halves = measured(slice(0, 16)), [torch.load(tmp_path / f"gradients{rank}") for rank in (0, 1)]
    alone = measured(slice(0, 8))
    assert whole[-1] is halves[0][-1] is None
    for expected, first, second in zip(whole[:-1], *(h[:-1] for h in halves), strict=True):
        torch.testing.assert_close(first, expected, rtol=1e-12, atol=1e-14)
        assert torch.equal(first, second)
    assert not torch.allclose(alone[-2], whole[-2])


def test_one_process_has_autograd_s_own_gradients() -> None:
    x, y = torch.tensor([2.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
    found = gradients((x * x).sum(), [x, y])
    assert found[0].item() == 4
    assert found[1] is None
    assert gradients((x * x).sum(), []) == []
