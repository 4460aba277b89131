"""Work in a process of its own, beside this one: it ends with the block that it belongs to, however that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

from filmwright.data.children import deaf_children
from filmwright.spec.errors import FilmwrightError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["beside"]

Result = TypeVar("Result")


@contextmanager
def beside(work: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Within, `work`, which can be pickled, runs beside; what is yielded waits for its result, or raises its error.

    This process ends the other one in the midst of what it does, so that must own no files.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, work), daemon=True)

    def result() -> Result:
        try:
            found = ours.recv()
        except EOFError as error:
            process.join()
            raise FilmwrightError(
                f"a process of this command died with code {process.exitcode}: free some memory"
            ) from error
        if isinstance(found, FilmwrightError):
            raise found
        answer: Result = found
        return answer

    try:
        with deaf_children():
            process.start()
        theirs.close()
        yield result
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        ours.close()


def _answer(answer: Connection, work: Callable[[], object]) -> None:
    try:
        found = work()
    except FilmwrightError as error:
        found = error
    with suppress(OSError):  # nobody waits any more
        answer.send(found)
