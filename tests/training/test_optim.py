"""Muon orthogonalises, AdamW equals torch's, and each parameter goes to the right one."""

from __future__ import annotations

import torch
from torch import nn

from filmwright.models.catalog import SIZES
from filmwright.models.dit import DiT
from filmwright.training.optim import MuonAdamW, matrices_and_rest, orthogonalise


def test_orthogonalise_brings_singular_values_near_one() -> None:
    g = torch.Generator().manual_seed(0)
    for shape in ((3, 64, 64), (2, 40, 96), (2, 96, 40)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=g)).float())
        assert values.max() < 1.3
        assert (values > 0.6).float().mean() > 0.9


def test_orthogonalise_keeps_the_directions() -> None:
    g = torch.Generator().manual_seed(1)
    u, _ = torch.linalg.qr(torch.randn(32, 32, generator=g))
    v, _ = torch.linalg.qr(torch.randn(32, 32, generator=g))
    m = u @ torch.diag(torch.linspace(1.0, 3.0, 32)) @ v.T
    result = orthogonalise(m[None])[0]
    assert (u.T @ result @ v).diagonal().min() > 0.6


def test_adamw_group_equals_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Parameter(torch.randn(7)), nn.Parameter(torch.zeros(7))
    theirs.data.copy_(ours.data)
    a = MuonAdamW([], [ours], lr_matrix=1.0, lr_rest=1e-2)
    b = torch.optim.AdamW([theirs], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(5):
        grad = torch.randn(7, generator=torch.Generator().manual_seed(step))
        ours.grad, theirs.grad = grad.clone(), grad.clone()
        a.step()
        b.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_embeddings_and_edges_are_not_muons() -> None:
    dit = DiT(SIZES["tiny"].dit)
    names = {id(p): n for n, p in dit.named_parameters()}
    matrices, rest = matrices_and_rest([dit])
    inner = {names[id(p)] for p in matrices}
    assert "blocks.0.attention.qkv.weight" in inner
    assert not any(n.startswith(("enter", "leave", "control")) or "table" in n for n in inner)
    assert len(matrices) + len(rest) == len(names)
