"""Searches for cycles pass over what was imported, for as long as a run lasts, and miss nothing that the run makes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from filmwright.engine.memory import give_back, leave_imported


class Knot:
    """Refers to itself: only a search for cycles finds it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def no_search_by_itself() -> Iterator[None]:
    """What is collected here is collected by `give_back`."""
    gc.unfreeze()  # what was imported for the tests
    gc.disable()
    yield
    gc.enable()
    assert gc.get_freeze_count() == 0
    gc.freeze()


def test_what_was_there_is_frozen_within_and_not_after() -> None:
    before = len(gc.get_objects())
    with leave_imported():
        assert gc.get_freeze_count() > 0.9 * before
        assert len(gc.get_objects()) < 0.1 * before, "what a search looks at"
    assert gc.get_freeze_count() == 0
    assert len(gc.get_objects()) > 0.9 * before


def test_a_run_within_a_run_ends_no_freeze_but_its_own() -> None:
    with leave_imported():
        outer = gc.get_freeze_count()
        with leave_imported():
            assert gc.get_freeze_count() > 0.9 * outer  # a thread may let go of a few meanwhile
        assert gc.get_freeze_count() > 0.9 * outer
    assert gc.get_freeze_count() == 0


def test_somebody_elses_freeze_stays() -> None:
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        with leave_imported():
            pass
        assert gc.get_freeze_count() > 0.9 * before
    finally:
        gc.unfreeze()


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(RuntimeError), leave_imported():
        raise RuntimeError
    assert gc.get_freeze_count() == 0


def test_cycles_made_within_are_given_back() -> None:
    early = Knot()
    with leave_imported():
        late = Knot()
        ends = [weakref.ref(early), weakref.ref(late)]
        del early, late
        assert ends[1]() is not None, "nothing else has found it"
        give_back()
        assert ends[1]() is None
        assert ends[0]() is not None, "what was there before is passed over"
    give_back()
    assert ends[0]() is None
