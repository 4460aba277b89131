"""Processes that make things by name, beside the one that uses them.

Each has a pipe of its own: one that dies is noticed at once, and when the process that asks is killed, even by
`kill -9`, they read the end of their pipe and end too. (`ProcessPoolExecutor` does the first but not the second,
`multiprocessing.Pool` the second but not the first.)
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from filmwright.data.children import deaf_children
from filmwright.spec.errors import FilmwrightError

__all__ = ["Workers"]

Job = tuple[Any, ...]
T = TypeVar("T")


class Workers(Generic[T]):
    """`count` processes that call `make(*job)`, one thread each; both must pickle.

    Answers wait in memory until they are fetched, so whoever asks keeps the number of open jobs small.
    """

    def __init__(self, make: Callable[..., T], count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._answers: queue.SimpleQueue[tuple[int, Job, T | None, BaseException | None]] = (
            queue.SimpleQueue()
        )
        self._processes, self._pipes = [], []
        self._open = [0] * count  # jobs of each
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, make), daemon=True)
            with deaf_children():
                process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, *job: Any) -> None:
        """Gives a job to the worker that has fewest."""
        least = self._open.index(min(self._open))
        self._open[least] += 1
        try:
            self._pipes[least].send(job)
        except OSError:  # it is gone; the listener has said so
            return

    def answers(self, *, wait: bool) -> dict[Job, T]:
        """What has been made since the last call; with `wait` at least one.

        Raises:
            FilmwrightError: a worker ended, or what a worker raised.
        """
        made: dict[Job, T] = {}
        while True:
            try:
                index, job, item, error = self._answers.get(block=wait and not made)
            except queue.Empty:
                return made
            if error is not None:
                raise error
            self._open[index] -= 1
            made[job] = item  # type: ignore[assignment]

    def close(self) -> None:
        """Ends them all, whatever they do."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()

    def _listen(self) -> None:
        """Takes answers from the pipes, so that no worker waits for the next step of a training."""
        left = dict(enumerate(self._pipes))
        while left:
            ready = wait(list(left.values()))
            for index in [i for i, pipe in left.items() if pipe in ready]:
                try:
                    self._answers.put((index, *left[index].recv()))
                except (EOFError, OSError):
                    del left[index]
                    self._processes[index].join()
                    self._answers.put((index, (), None, self._ended(self._processes[index].exitcode)))

    def _ended(self, code: int | None) -> FilmwrightError:
        return FilmwrightError(
            f"one of {len(self._processes)} processes that simulate clips ended (exit code {code}): if memory is "
            "short, give fewer --workers; then go on with --resume"
        )


def _work(pipe: Connection[Any, Any], make: Callable[..., object]) -> None:
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return  # nobody asks any more
        answer: tuple[Job, object, BaseException | None]
        try:
            answer = (job, make(*job), None)
        except Exception as error:  # noqa: BLE001 (raised where the answer is fetched)
            answer = (job, None, error)
        try:
            pipe.send(answer)
        except OSError:
            return
