"""Checks a prompt: its brief, what is missing, and findings with code, place, reason and rewrite.

    filmwright.check("The spirit of freedom, 8k", model="wan2.1-t2v-1.3b").codes  # ("too-abstract", "no-motion")

A rewrite is offered only if it does away with its finding and brings no new one; `fixed` takes one after another.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from filmwright.direction.check.parts import brief_of
from filmwright.direction.check.reading import Reading
from filmwright.direction.check.rule import Hit, Rule, Severity
from filmwright.direction.check.rules import RULES
from filmwright.direction.check.target import Target, target_for
from filmwright.engine.build_request import MAX_PROMPT_LETTERS
from filmwright.spec.brief import PARTS_OF_A_BRIEF, Brief
from filmwright.spec.errors import BadRequest

__all__ = ["PromptCheck", "PromptFinding", "check", "check_prompt"]

MOST_REWRITES = 24


@dataclass(frozen=True, kw_only=True)
class PromptFinding:
    """One thing that is wrong: a stable code, how grave it is (`error`: the model refuses it), why, and where.

    `start` and `end` are characters of the prompt, None where an option is meant. `rewrite` is the whole prompt with
    this mended, None where only its author can; `option` is what to give instead ("--seconds 2"); `negative` is what
    belongs into the negative prompt.
    """

    code: str
    severity: Severity
    why: str
    start: int | None
    end: int | None
    words: tuple[str, ...]
    rewrite: str | None
    option: str | None
    negative: str | None


@dataclass(frozen=True, kw_only=True)
class PromptCheck:
    """What a prompt says and what is wrong with it.

    `missing`: parts of a brief that the prompt does not say. `fixed`: the prompt with every rewrite taken, and
    `negative` what they moved into the negative prompt.
    """

    prompt: str
    model: str
    brief: Brief
    missing: tuple[str, ...]
    findings: tuple[PromptFinding, ...]
    fixed: str
    negative: tuple[str, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the findings, each once."""
        return tuple(dict.fromkeys(f.code for f in self.findings))

    @property
    def refused(self) -> bool:
        """Whether the model would refuse what is asked for."""
        return any(f.severity == "error" for f in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "prompt": self.prompt,
            "model": self.model,
            "brief": self.brief.model_dump(),
            "missing": list(self.missing),
            "findings": [{**asdict(f), "words": list(f.words)} for f in self.findings],
            "fixed": self.fixed,
            "negative": list(self.negative),
        }


def check(
    prompt: str,
    *,
    model: str | None = None,
    size: str | tuple[int, int] | None = None,
    seconds: float | None = None,
    fps: int | None = None,
    camera: str | None = None,
) -> PromptCheck:
    """Checks a prompt for a model (None: the one that `generate` takes) and the options that `generate` would get.

    Raises:
        BadRequest: the prompt is empty, too long or no text, there is no such model, or the size is none.
    """
    return check_prompt(prompt, target_for(model, size=size, seconds=seconds, fps=fps, camera=camera))


def check_prompt(prompt: str, target: Target) -> PromptCheck:
    """As `check`, for a target that is there already.

    Raises:
        BadRequest: the prompt is empty, too long or no text.
    """
    prompt = _one_line(prompt)
    reading = Reading(prompt)
    hits = _hits(reading, target)
    codes = {rule.code for rule, _ in hits}
    findings = tuple(
        PromptFinding(
            code=rule.code,
            severity=hit.severity or rule.severity,
            why=hit.why,
            start=hit.start,
            end=hit.end,
            words=hit.words,
            rewrite=_rewrite(rule, hit, reading, target, codes, len(hits)),
            option=hit.option,
            negative=hit.negative,
        )
        for rule, hit in hits
    )
    fixed, negative = _fixed(prompt, target)
    brief = brief_of(reading, target)
    return PromptCheck(
        prompt=prompt,
        model=target.card.name,
        brief=brief,
        missing=tuple(part for part in PARTS_OF_A_BRIEF if not getattr(brief, part)),
        findings=findings,
        fixed=fixed,
        negative=negative,
    )


def _one_line(prompt: str) -> str:
    line = " ".join(prompt.split())
    if not line:
        raise BadRequest("the prompt is empty: say in a few words what the clip shows")
    if len(line) > MAX_PROMPT_LETTERS:
        raise BadRequest(f"the prompt has {len(line)} letters: the limit is {MAX_PROMPT_LETTERS}; shorten it")
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"the prompt is not valid text at letter {error.start + 1}: write it in UTF-8"
        ) from error
    return line


def _hits(reading: Reading, target: Target) -> list[tuple[Rule, Hit]]:
    return [(rule, hit) for rule in RULES for hit in rule.find(reading, target)]


def _rewrite(
    rule: Rule, hit: Hit, reading: Reading, target: Target, codes: set[str], count: int
) -> str | None:
    """The rule's rewrite, if it leaves less to find and nothing new."""
    text = rule.mend(reading, target, hit)
    if text is None or not text.strip() or text == reading.prompt or len(text) > MAX_PROMPT_LETTERS:
        return None
    after = _hits(Reading(text), target)
    new = {other.code for other, _ in after} - codes
    return text if not new and len(after) < count else None


def _fixed(prompt: str, target: Target) -> tuple[str, tuple[str, ...]]:
    """The prompt with one rewrite after another taken, and what is to be said in the negative prompt."""
    negative: list[str] = []
    for _ in range(MOST_REWRITES):
        reading = Reading(prompt)
        hits = _hits(reading, target)
        codes = {rule.code for rule, _ in hits}
        for rule, hit in sorted(
            hits, key=lambda found: found[0].code != "unknown-words"
        ):  # words first, then sense
            text = _rewrite(rule, hit, reading, target, codes, len(hits))
            if text is not None:
                prompt = text
                if hit.negative:
                    negative.append(hit.negative)
                break
        else:
            break
    return prompt, tuple(dict.fromkeys(negative))
