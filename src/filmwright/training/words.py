"""Where word vectors start: words that the lexicon says mean one thing start close together.

"Crimson" and "scarlet" are both `red` in the lexicon that captions are written from. A denoiser that sees fifty
thousand captions cannot learn that from pictures alone, so the vectors say it from the first step.
"""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import Tensor

from filmwright.spec.inflection import inflect
from filmwright.spec.lexicon import LEXICON, STOP_WORDS
from filmwright.weights.tokenizer import Tokenizer

__all__ = ["word_vectors"]

OWN = 0.35  # share of a vector's length that is the word's own


def word_vectors(tokenizer: Tokenizer, dim: int, generator: torch.Generator) -> Tensor:
    """Start vectors [tokens, dim], about `length sqrt(dim)/2`: near the mean of what the lexicon says a word may mean.

    The plainest word of a name (the first of its role) lies nearest to it; words without a meaning are random.
    """
    own = torch.randn(len(tokenizer), dim, generator=generator)
    meanings: dict[str, list[Tensor]] = defaultdict(list)
    for names in LEXICON.values():
        for roles in names.values():
            meaning = torch.randn(dim, generator=generator)
            for phrases in roles.values():
                for phrase in phrases:
                    for word in {w for w in phrase.lower().split() if w not in STOP_WORDS}:
                        for form in {word, *(inflect(word, f) for f in ("s", "ing", "ed"))}:
                            meanings[form].append(meaning)
    vectors = own.clone()
    for i, token in enumerate(tokenizer.tokens):
        if token in meanings:
            shared = torch.stack(meanings[token]).mean(0)
            vectors[i] = math.sqrt(1 - OWN**2) * shared + OWN * own[i]
    return vectors * 0.5
