"""Second order: how the validation loss depends on the gates through the weight step that they cause (DARTS, Sec. 2.3).

With w' = w - xi (grad_w L_train(w, Z) + d), both functions give dL_val(w', Z)/dZ. A loss is a function of weights (a
sequence of tensors) and gates (one tensor); ``drift`` d is what else the optimiser adds, momentum and weight decay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from nas_core.cells.supernet import Supernet
from nas_core.trainers.gradients import gradients

Tensors = Sequence[Tensor]
Loss = Callable[[Tensors, Tensor], Tensor]


def exact(train_loss: Loss, val_loss: Loss, w: Tensors, z: Tensor, xi: float, drift: Tensors = ()) -> Tensor:
    """By double backward through the virtual step, of the shape of ``z``; ``w`` and ``z`` require gradients."""
    return _gradients(val_loss(_virtual(train_loss, w, z, xi, drift, create_graph=True), z), [z])[0]


def finite_difference(
    train_loss: Loss, val_loss: Loss, w: Tensors, z: Tensor, xi: float, radius: float = 0.01, drift: Tensors = ()
) -> Tensor:
    """dL_val(w', Z)/dZ - xi (grad_Z L_train(w + eps v, Z) - grad_Z L_train(w - eps v, Z)) / (2 eps).

    v = grad_{w'} L_val(w', Z) and eps = radius / norm(v) (released code). Where v is 0 the second term is, too.
    """
    ahead = [p.detach().requires_grad_() for p in _virtual(train_loss, w, z, xi, drift)]
    direct, *v = _gradients(val_loss(ahead, z), [z, *ahead])
    length = torch.stack([g.norm() for g in v]).norm()
    if length == 0:
        return direct
    eps = radius / length
    plus, minus = (
        _gradients(train_loss([p.detach() + sign * eps * g for p, g in zip(w, v, strict=True)], z), [z])[0]
        for sign in (1, -1)
    )
    return direct - xi * (plus - minus) / (2 * eps)


def loss_on(model: Supernet, images: Tensor, labels: Tensor) -> Loss:
    """Cross-entropy of ``model`` on a batch as a function of its weights and gates; running statistics stay."""
    names = [name for name, _ in model.named_parameters()]

    def loss(w: Tensors, gates: Tensor) -> Tensor:
        state = statistics(model) | dict(zip(names, w, strict=True))
        return F.cross_entropy(functional_call(model, state, (images, gates)), labels)

    return loss


def statistics(model: Supernet) -> dict[str, Tensor]:
    """A copy of the running statistics, for a pass that leaves the model's own alone."""
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def _virtual(
    train_loss: Loss, w: Tensors, z: Tensor, xi: float, drift: Tensors, *, create_graph: bool = False
) -> list[Tensor]:
    """w' = w - xi (grad_w L_train(w, Z) + drift)."""
    grads = _gradients(train_loss(w, z), w, create_graph=create_graph)
    drift = drift or [torch.zeros_like(p) for p in w]
    return [p - xi * (g + d) for p, g, d in zip(w, grads, drift, strict=True)]


def _gradients(loss: Tensor, inputs: Tensors, *, create_graph: bool = False) -> tuple[Tensor, ...]:
    """Zero for what the loss does not depend on."""
    found = gradients(loss, inputs, create_graph=create_graph)
    return tuple(torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True))
