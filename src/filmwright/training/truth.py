"""What the simulator knows, as extra lessons for the denoiser while it trains; nothing of this ships.

Pictures teach a small net slowly what a prompt is about: the subject is a tenth of the picture, and "left" and "right"
differ in a few cells. The truth is at hand, so small heads ask for it: from tokens half way through the net, where the
subject is and what it is; from all of them, what happens; from the words alone, everything that they tell. The idea is
that of REPA (Yu et al. 2024) and VideoJAM (Chefer et al. 2025), with the truth in place of another net's features.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from filmwright.models.attention import rms
from filmwright.models.dit import DiTConfig
from filmwright.spec.vocabulary import (
    CAMERAS,
    COLOURS,
    DIRECTIONS,
    EVENTS,
    LIGHTS,
    MATERIALS,
    MOODS,
    SETTINGS,
    SIZES,
    SUBJECTS,
)

__all__ = ["LABELS", "TruthHeads", "labels_of_script"]

LABELS: dict[str, tuple[str, ...]] = {
    "subject": SUBJECTS,
    "colour": COLOURS,
    "material": MATERIALS,
    "size": SIZES,
    "event": EVENTS,
    "direction": DIRECTIONS,
    "setting": SETTINGS,
    "light": LIGHTS,
    "camera": CAMERAS,
    "mood": MOODS,
}
OF_SUBJECT = ("subject", "colour")  # asked of the tokens that show it
OF_CLIP = ("event", "direction", "camera")  # asked of all tokens together


def labels_of_script(script: dict[str, Any]) -> list[int]:
    """The index of each of `LABELS` in what `dataclasses.asdict` made of a script."""
    told = script | script["subjects"][0] | {"subject": script["subjects"][0]["kind"]}
    return [names.index(told[label]) for label, names in LABELS.items()]


class TruthHeads(nn.Module):
    """Linear heads over the denoiser's tokens and the caption's summary, and their loss."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.after = round(0.6 * config.depth) - 1  # the block whose tokens are asked
        heads = {"cover": config.patch**2} | {f"subject_{a}": len(LABELS[a]) for a in OF_SUBJECT}
        self.of_tokens = nn.ModuleDict({k: nn.Linear(config.dim, n) for k, n in heads.items()})
        self.of_clip = nn.ModuleDict({a: nn.Linear(config.dim, len(LABELS[a])) for a in OF_CLIP})
        self.of_words = nn.ModuleDict({a: nn.Linear(config.text_dim, len(n)) for a, n in LABELS.items()})

    def forward(
        self, tokens: Tensor, pooled: Tensor, labels: Tensor, cover: Tensor, told: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """How wrong the heads are.

        Args:
            tokens: of the video after block `after` [b, t*s, d].
            pooled: the caption's summary [b, d_text].
            labels: [b, 10] in the order of `LABELS`.
            cover: share of each latent cell that the subject's box takes [b, t, h, w], 0..1.
            told: [b] bool, clips that have a caption.

        Returns:
            A scalar to be added to the velocity's loss, and its parts, unweighted.
        """
        label = dict(zip(LABELS, labels.long().unbind(1), strict=True))
        p = self.patch
        cells = cover.unflatten(3, (-1, p)).unflatten(2, (-1, p))  # b t h p w p
        cells = cells.permute(0, 1, 2, 4, 3, 5).flatten(4).flatten(1, 3)  # [b, n, p*p]
        x = rms(tokens)
        where = F.binary_cross_entropy_with_logits(self.of_tokens["cover"](x).float(), cells.float())
        share = cells.float().mean(-1)  # [b, n]
        share = share / share.sum(1, keepdim=True).clamp(min=1e-3)
        what = x.new_zeros((), dtype=torch.float32)
        for a in OF_SUBJECT:
            logits = self.of_tokens[f"subject_{a}"](x).float().transpose(1, 2)  # [b, k, n]
            wanted = label[a][:, None].expand(-1, logits.shape[2])
            what = what + (F.cross_entropy(logits, wanted, reduction="none") * share).sum(1).mean()
        mean = rms(x.mean(1))
        happens = _mean(F.cross_entropy(self.of_clip[a](mean).float(), label[a]) for a in OF_CLIP)
        words = _mean(
            (F.cross_entropy(self.of_words[a](pooled).float(), label[a], reduction="none") * told).mean()
            for a in LABELS
        )
        loss = 0.5 * where + 0.03 * what + 0.05 * happens + 0.1 * words
        return loss, {"where": where, "what": what, "happens": happens, "words": words}


def _mean(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(losses)).mean()
