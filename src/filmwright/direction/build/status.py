"""Why a result would be made: each take's state, and which input differs from what was built last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from filmwright.direction.build.graph import (
    Result,
    Step,
    Take,
    deliverable,
    differences,
    name_of,
    readable,
    rendered,
    steps_of,
    takes_of,
)
from filmwright.direction.build.seal import seal_of
from filmwright.direction.build.store import Node, Store
from filmwright.direction.film.opened import OpenFilm

__all__ = ["Reason", "State", "Word", "explain", "states"]

Word = Literal["clean", "dirty", "missing", "swept", "damaged", "waits"]
GONE = {"swept": "was swept: it would be made again", "damaged": "is damaged: it would be made again"}
SHOWN = 90  # letters of a value in a reason


@dataclass(frozen=True, kw_only=True)
class Reason:
    """An input that differs: its name, its old and its new value; `said` in words where there is no pair."""

    what: str
    before: Any = None
    now: Any = None
    said: str = ""

    @property
    def line(self) -> str:
        """In one line."""
        return self.said or f"{self.what}: {_shown(self.before)} -> {_shown(self.now)}"


@dataclass(frozen=True, kw_only=True)
class State:
    """A take or deliverable: clean is there; dirty was built from other inputs; missing was never built here; swept
    was, and gc removed it; of what is damaged a file is gone or not as it was.

    `sealed` is how a deliverable was signed last, where its film does not say so: privately, or not at all.
    """

    name: str
    shot: str | None  # None for a deliverable
    take: int | None
    selected: bool
    state: Word
    reasons: tuple[Reason, ...]
    result: Result
    sealed: Literal["", "private", "unsigned"] = ""


def states(film: OpenFilm, store: Store, *, thorough: bool = False) -> tuple[State, ...]:
    """The state of every take, of its post, and of every deliverable; `thorough` reads every byte of them.

    A deliverable that was built with --private or --no-sign is held to that.
    """
    takes = takes_of(film, store, thorough=thorough)
    last = store.read_film(film.path)
    found = []
    for take in takes.values():
        found.append(_state(take, store, last))
        for step in steps_of(take, film, store, thorough=thorough) if take.draft.selected else ():
            waits = () if step.key else (take.draft.shot,)
            found.append(_state(step, store, last, waits_for=waits))
    selected = film.selected()
    cut = film.cut({shot: rendered(takes[name_of(draft)], film, store) for shot, draft in selected.items()})
    for output in film.outputs:
        result = deliverable(film, cut, output, store, seal_of(film), thorough=thorough)
        as_film_says = result.inputs["signed"]
        before = store.recall(last[result.name]) if result.name in last else None
        if before is not None:
            signed = before.inputs.get("signed")
            seal = seal_of(film, sign=signed is not None, private=bool(signed and signed["private"]))
            result = deliverable(film, cut, output, store, seal, thorough=thorough)
        unready = dict.fromkeys(event.source.shot for event in cut.events if event.source.blob is None)
        state = _state(result, store, last, waits_for=tuple(unready))
        if (now := result.inputs["signed"]) != as_film_says:
            state = replace(state, sealed="unsigned" if now is None else "private")
        found.append(state)
    return tuple(found)


def explain(film: OpenFilm, store: Store, shot: str) -> tuple[State, ...]:
    """The states of a shot's takes, and of the shots that it starts from, however far, first."""
    needed, waiting = [shot], [shot]
    selected = film.selected()
    while waiting:
        for need in selected[waiting.pop()].needs:
            if need.shot not in needed:
                needed.append(need.shot)
                waiting.append(need.shot)
    return tuple(
        state
        for state in states(film, store)
        if state.shot == shot or (state.shot in needed and state.selected)
    )


def _state(result: Result, store: Store, last: Mapping[str, str], waits_for: tuple[str, ...] = ()) -> State:
    take = result if isinstance(result, Take) else None
    draft = result.draft if isinstance(result, Take | Step) else None
    waits_for = take.waits_for if take is not None else waits_for
    before = store.recall(last[result.name]) if result.name in last else None
    reasons: list[Reason] = []
    ready = "rendered" if take is not None else "finished"
    if waits_for:
        state: Word = "waits"
        reasons += [
            Reason(what=shot, said=f"waits for shot {shot}, which is not {ready}") for shot in waits_for
        ]
        if take is not None and before is not None:
            reasons += _request_reasons(take, before)
    elif result.node is not None:
        state = "clean"
    elif result.name not in last:
        state = "missing"
        reasons.append(Reason(what="node", said="was never built here"))
    elif last[result.name] == result.key:
        state = "swept" if before is None else "damaged"
        reasons.append(Reason(what="node", said=f"its inputs are the same, its result {GONE[state]}"))
    elif before is None:
        state = "dirty"
        reasons.append(Reason(what="node", said="its inputs have changed; what they were was swept"))
    else:
        state = "dirty"
        reasons += [
            Reason(what=what.removeprefix("request."), before=old, now=new)
            for what, old, new in differences(before.inputs, result.inputs)
        ]
    return State(
        name=result.name,
        shot=draft.shot if draft else None,
        take=draft.take if draft else None,
        selected=draft.selected if draft else True,
        state=state,
        reasons=tuple(reasons),
        result=result,
    )


def _request_reasons(take: Take, before: Node) -> list[Reason]:
    """What is known to differ while a frame of another shot is missing: all but the controls that wait for it."""
    now = readable(take.draft.request)
    old = {key: value for key, value in before.inputs.get("request", {}).items() if key in now}
    return [Reason(what=what, before=was, now=new) for what, was, new in differences(old, now)]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
