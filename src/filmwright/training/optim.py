"""Muon for matrices, AdamW for the rest, as one optimizer over fp32 master weights.

Muon (Jordan et al. 2024): momentum, orthogonalised by five Newton-Schulz steps, scaled by 0.2 sqrt(larger side) so
that its updates have AdamW's size (Liu et al. 2025). Convolution weights count as [out, in*k*k] matrices. Matrices of
one shape are orthogonalised together. Parameters may be cut over processes; see `training.sharding`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from filmwright.training.sharding import between_owners, local

__all__ = ["MuonAdamW", "matrices_and_rest", "orthogonalise"]

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration


def orthogonalise(m: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrices of a batch `m` [k, rows, columns], roughly (singular values 0.7..1.2)."""
    a, b, c = COEFFICIENTS
    x = m.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-7).bfloat16()
    for _ in range(steps):
        g = x @ x.mT
        x = a * x + (b * g + c * g @ g) @ x
    return (x.mT if tall else x).to(m.dtype)  # type: ignore[no-any-return]


def matrices_and_rest(modules: Iterable[nn.Module]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters for Muon (weights inside of nets) and for AdamW (embeddings, vectors, gains, edge layers)."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for module in modules:
        edge = ("enter", "leave", "embed", "control", "heads", "of_tokens", "of_clip", "of_words")
        for name, p in module.named_parameters():
            if not p.requires_grad:
                continue
            inner = p.ndim in (2, 4) and not any(
                part in edge or part.endswith("table") for part in name.split(".")
            )
            (matrices if inner and p.shape[0] > 8 else rest).append(p)
    return matrices, rest


class MuonAdamW(torch.optim.Optimizer):
    """Group 0 is Muon's, group 1 is AdamW's; each has its own `lr` (base, multiplied by `scale` at every step)."""

    def __init__(
        self,
        matrices: list[nn.Parameter],
        rest: list[nn.Parameter],
        *,
        lr_matrix: float,
        lr_rest: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
    ) -> None:
        groups = [
            {"params": matrices, "lr": lr_matrix, "kind": "muon"},
            {"params": rest, "lr": lr_rest, "kind": "adamw"},
        ]
        super().__init__(
            [g for g in groups if g["params"]],
            {"momentum": momentum, "betas": betas, "weight_decay": weight_decay, "scale": 1.0},
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """One update of all parameters that have a gradient."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            lr = group["lr"] * group["scale"]
            if group["weight_decay"]:
                torch._foreach_mul_([local(p) for p in params], 1 - lr * group["weight_decay"])
            (self._muon if group["kind"] == "muon" else self._adamw)(params, group, lr)

    def _muon(self, params: list[nn.Parameter], group: dict[str, Any], lr: float) -> None:
        by_shape: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
        for p in params:
            assert p.grad is not None
            state, grad = self.state[p], local(p.grad)
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
            momentum = local(state["momentum"])
            momentum.lerp_(grad, 1 - group["momentum"])
            update = grad.lerp(momentum, group["momentum"])  # Nesterov
            columns = p.numel() // p.shape[0]
            by_shape[(p.shape[0], columns)].append((p, update.reshape(-1, columns)))
        for (rows, columns), items in by_shape.items():
            parts = [u for _, u in items]
            if isinstance(items[0][0], DTensor):
                parts = between_owners(parts, rows, orthogonalise)
            else:
                parts = list(orthogonalise(torch.stack(parts)))
            size = 0.2 * max(rows, columns) ** 0.5
            for (p, _), update in zip(items, parts, strict=True):
                mine = local(p)
                mine.add_(update.view_as(mine), alpha=-lr * size)

    def _adamw(self, params: list[nn.Parameter], group: dict[str, Any], lr: float) -> None:
        beta1, beta2 = group["betas"]
        for p in params:
            assert p.grad is not None
            state, grad = self.state[p], local(p.grad)
            if "first" not in state:
                state["first"], state["second"] = torch.zeros_like(p), torch.zeros_like(p)
                state["step"] = torch.zeros(())
            state["step"] += 1
            n = int(state["step"])
            first, second = local(state["first"]), local(state["second"])
            first.lerp_(grad, 1 - beta1)
            second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            scale = (second / (1 - beta2**n)).sqrt_().add_(1e-8)
            local(p).addcdiv_(first, scale, value=-lr / (1 - beta1**n))
