"""What a build would make, and what each take needs in memory and time, before anything is rendered."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from filmwright.direction.build.builder import needs_as, wanted
from filmwright.direction.build.clock import work_of_request
from filmwright.direction.build.graph import Take, name_of, takes_of
from filmwright.direction.build.status import State, states
from filmwright.direction.build.store import Store
from filmwright.direction.film.opened import OpenFilm
from filmwright.spec.errors import FilmwrightError
from filmwright.spec.plan import Plan
from filmwright.spec.request import Request

__all__ = ["Forecast", "forecast", "to_make"]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A take that is to be rendered; `peak` in bytes, `seconds` None where no such was ever rendered."""

    name: str
    model: str
    width: int
    height: int
    num_frames: int
    peak: int
    seconds: float | None
    strategy: str

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def forecast(
    film: OpenFilm,
    store: Store,
    *,
    only: str | None = None,
    device: str | None = None,
    memory: int | None = None,
) -> tuple[Forecast, ...]:
    """The takes that a build would render now, in order.

    Raises:
        DoesNotFit: one of them needs more memory than there is, or than `memory` in bytes.
        BadRequest: no such shot, or no such device.
        WeightsError: a model's weights are missing or damaged.
    """
    takes = takes_of(film, store)
    pending = [draft for draft in wanted(film, only) if takes[name_of(draft)].node is None]
    if not pending:
        return ()
    from filmwright.engine.devices import pick_device
    from filmwright.engine.plan import plan_for

    place = pick_device(device)
    paces = store.read_paces()
    plans: dict[tuple[Request, tuple[str, ...]], Plan] = {}
    rows = []
    for draft in pending:
        request = takes[name_of(draft)].request or draft.request
        alike = needs_as(request)
        try:
            plan = plans.get(alike) or plan_for(request, device=place, budget=memory)
        except FilmwrightError as error:
            raise type(error)(f"shot {draft.shot}: {error}") from error
        plans[alike] = plan
        work = work_of_request(request)
        pace = paces.get(work.pace)
        rows.append(
            Forecast(
                name=name_of(draft),
                model=request.model,
                width=request.width,
                height=request.height,
                num_frames=request.num_frames,
                peak=plan.peak,
                seconds=pace * work.units if pace is not None else plan.seconds,
                strategy=plan.strategy.said,
            )
        )
    return tuple(rows)


def to_make(film: OpenFilm, store: Store, *, only: str | None = None) -> tuple[State, ...]:
    """The states of all that a build would make now, takes, post and deliverables, in order.

    Raises:
        BadRequest: no such shot.
    """
    takes = {name_of(draft) for draft in wanted(film, only)}

    def makes(state: State) -> bool:
        if isinstance(state.result, Take):
            return state.name in takes
        return only in {None, state.shot}  # a deliverable is of no shot

    return tuple(state for state in states(film, store) if state.state != "clean" and makes(state))
