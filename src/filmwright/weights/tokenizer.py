"""Prompts to token ids: a small vocabulary of whole words, with pieces to spell what it does not hold.

Ids run through the special tokens, the words that captions are made of (`words`), words kept for later training
(`reserved`), and pieces: letters, digits and frequent strings, at a word's beginning ("sh") and inside it ("##ny").
A word that is not there is first looked for in another form ("dropped" -> "drops") and another phrase for the same
thing ("twilight" -> "sunset light"), then spelled.
"""

from __future__ import annotations

import json
import os
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filmwright.spec.errors import WeightsError
from filmwright.spec.inflection import inflect, lemma
from filmwright.spec.lexicon import LEXICON, STOP_WORDS
from filmwright.spec.vocabulary import PARTS
from filmwright.spec.words import PromptVocabulary, in_known_words, is_known, split_words

__all__ = ["EOS", "MAX_VOCABULARY", "NULL", "PAD", "SPECIALS", "UNK", "Tokenizer", "build_vocabulary"]

PAD, UNK, NULL, EOS = range(4)
SPECIALS = ("<pad>", "<unk>", "<null>", "<eos>")
MAX_VOCABULARY = 2048
SIGNS = tuple(",.:;!?'\"()&/%+")  # all but the first three are in no caption
FORMAT = 1
INSIDE = "##"


class Tokenizer:
    """`words`, `reserved` and `pieces` in the order of their ids, after the special tokens."""

    def __init__(
        self, *, words: Sequence[str], reserved: Sequence[str] = (), pieces: Sequence[str] = ()
    ) -> None:
        self.words, self.reserved, self.pieces = tuple(words), tuple(reserved), tuple(pieces)
        tokens = (*SPECIALS, *self.words, *self.reserved, *self.pieces)
        if len(set(tokens)) != len(tokens):
            twice = next(t for t, n in Counter(tokens).items() if n > 1)
            raise WeightsError(f"vocabulary lists {twice!r} more than once: build it anew")
        if len(tokens) > MAX_VOCABULARY:
            raise WeightsError(f"vocabulary has {len(tokens)} tokens: {MAX_VOCABULARY} at most")
        self.tokens = tokens
        self._said = frozenset(self.words)
        self.trained = frozenset(w for w in self.words if w[0].isalnum())
        listed = len(SPECIALS) + len(self.words) + len(self.reserved)
        self._whole = {t: i for i, t in enumerate(tokens[:listed]) if i >= len(SPECIALS)}
        self._piece = {t: i for i, t in enumerate(tokens) if i >= listed}
        self._longest = max((len(p.removeprefix(INSIDE)) for p in self.pieces), default=0)

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str, *, skip_unknown: bool = False) -> list[int]:
        """Token ids with the end token; an empty text is the one null token.

        `skip_unknown` leaves out words that captions never held instead of spelling them: for weights that have not
        learnt the reserved words and the pieces, saying nothing is better than noise.
        """
        ids: list[int] = []
        for word in split_words(in_known_words(text, self.trained)):
            if skip_unknown and not (word.text in self._said or self._trained_form(word.text)):
                continue
            ids += self._word(word.text)
        return [*ids, EOS] if ids else [NULL]

    def encode_batch(
        self, texts: Sequence[str], length: int, *, skip_unknown: bool = False
    ) -> NDArray[np.int64]:
        """Texts -> ids int64 [B, length], padded with 0; what is longer is cut and still ends with the end token."""
        batch = np.full((len(texts), length), PAD, np.int64)
        for row, text in zip(batch, texts, strict=True):
            ids = self.encode(text, skip_unknown=skip_unknown)
            if len(ids) > length:
                ids = [*ids[: length - 1], EOS]
            row[: len(ids)] = ids
        return batch

    def unknown(self, text: str) -> list[str]:
        """The words of a text that captions never held, in no form and by no other phrase; each once, in order."""
        words = split_words(in_known_words(text, self.trained))
        return list(dict.fromkeys(w.text for w in words if not is_known(w, self.trained)))

    def prompt_vocabulary(self, part: str = "whole") -> PromptVocabulary:
        """What `spec.words.analyse` needs to know of weights that were trained on a part of the world."""
        return PromptVocabulary(words=self.trained, part=PARTS[part], part_name=part)

    def decode(self, ids: Iterable[int]) -> str:
        """Ids back to text, for logs: words apart, pieces joined, special tokens left out."""
        text = ""
        for i in ids:
            if i < len(SPECIALS):
                continue
            part = self.tokens[i]
            joined = part.startswith(INSIDE) or part in ",.:;!?"
            text += part.removeprefix(INSIDE) if joined or not text else f" {part}"
        return text

    def _word(self, word: str) -> list[int]:
        if word in self.trained:
            return [self._whole[word]]
        known = self._trained_form(word) or (word if word in self._whole else None)
        return [self._whole[known]] if known else self._spelled(word)

    def _trained_form(self, word: str) -> str | None:
        """Another form of the word that captions do hold: its base, dropped -> drops, balls -> ball."""
        base = lemma(word)
        forms = (base, inflect(base, "s"), inflect(base, "ing"))
        return next((f for f in forms if f in self.trained), None)

    def _spelled(self, word: str) -> list[int]:
        """Greedily the longest pieces; a letter that no piece has is unknown."""
        ids: list[int] = []
        at = 0
        while at < len(word):
            for n in range(min(self._longest, len(word) - at), 0, -1):
                piece = (INSIDE if at else "") + word[at : at + n]
                # a letter that is a word ("a") is not listed as a piece too
                found = self._piece.get(piece, self._whole.get(piece) if n == 1 else None)
                if found is not None:
                    ids.append(found)
                    at += n
                    break
            else:
                ids.append(UNK)
                at += 1
        return ids

    def save(self, path: Path) -> None:
        """Writes the vocabulary as JSON, aside and renamed."""
        data = {"format": FORMAT, "words": self.words, "reserved": self.reserved, "pieces": self.pieces}
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.write_text(json.dumps(data, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
        aside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """The tokenizer of a vocabulary file.

        Raises:
            WeightsError: the file is missing, not a vocabulary, or of another format.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise WeightsError(
                    f"{path} is a vocabulary of format {data['format']}, this version reads {FORMAT}"
                )
            return cls(words=data["words"], reserved=data["reserved"], pieces=data["pieces"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(
                f"{path} cannot be read as a vocabulary ({error}): reinstall the package"
            ) from error


def build_vocabulary(captions: Iterable[str], reserved: Iterable[str] = ()) -> Tokenizer:
    """The vocabulary of sampled captions, every word that the lexicon says, and the reserved words; deterministic.

    Words are in the order of the alphabet, signs first. Pieces fill up what is left of 2,048 tokens, up to 320 frequent
    ones besides letters and digits.
    """
    words = {w.text for caption in captions for w in split_words(caption) if not w.is_sign}
    for names in LEXICON.values():
        for roles in names.values():
            for role, said in roles.items():
                if role != "heard":
                    words |= {
                        w.text
                        for phrase in said
                        for w in split_words(_as_said(phrase, role))
                        if not w.is_sign
                    }
    words |= {"a", "an", "the", "and", "then", "'s"}
    listed = [*SIGNS, *sorted(words)]
    later = sorted({w.lower() for w in reserved} | {w for w in STOP_WORDS if w.isalpha()})
    later = [w for w in later if w not in words]
    letters = [*string.ascii_lowercase, *string.digits]
    pieces = [*(c for c in letters if c not in {*listed, *later}), *(INSIDE + c for c in letters)]
    taken = {*listed, *later, *pieces}
    room = min(320, MAX_VOCABULARY - len(SPECIALS) - len(listed) - len(later) - len(pieces))
    pieces += [p for p in _frequent([*words, *later]) if p not in taken][:room]
    return Tokenizer(words=listed, reserved=later, pieces=pieces)


def _as_said(phrase: str, role: str) -> str:
    """A verb phrase in the forms that captions use; anything else as it is."""
    if role != "verb":
        return phrase
    bare = phrase.removeprefix("camera ")
    return f"{inflect(bare, 's')} {inflect(bare, 'ing')}"


def _frequent(words: Iterable[str]) -> list[str]:
    """Strings of 2 to 5 letters by how much spelling with them saves, at the beginning of words and inside."""
    counts: Counter[str] = Counter()
    for word in set(words):
        for n in range(2, 6):
            for at in range(len(word) - n + 1):
                counts[(INSIDE if at else "") + word[at : at + n]] += n - 1
    return [p for p, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
