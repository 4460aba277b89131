"""The `filmwright` command: hands over to one file a command group, and turns every error into one line.

Nothing heavy is imported here or at the top of a group: `--help` and every bad-input error come back at once.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from filmwright.cli.check import check
from filmwright.cli.deliver import deliver, poster, sheet
from filmwright.cli.entry import EXIT_CANCELLED, SAID, STOPPING
from filmwright.cli.evaluate import evaluate
from filmwright.cli.film_exchange import film_app
from filmwright.cli.generate import generate
from filmwright.cli.models import models_app
from filmwright.cli.plan import plan
from filmwright.cli.post import post
from filmwright.cli.resume import resume
from filmwright.cli.timeline import timeline_app
from filmwright.cli.train import train_app
from filmwright.cli.verify import verify
from filmwright.cli.world import world_app
from filmwright.spec.errors import BadFilm, Cancelled, FilmwrightError
from filmwright.version import VERSION

__all__ = ["app", "hasten", "main", "run"]

EXIT_PIPE = 141  # 128 + SIGPIPE
GARBAGE = 100_000  # objects between two searches for cycles: the default of 700 costs a fifth of an import

app = typer.Typer(
    name="filmwright",
    help="Words into film on machines you own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(generate)
app.command()(check)
app.command()(plan)
app.command()(post)
app.command()(resume)
app.command()(evaluate)
app.command()(deliver)
app.command()(sheet)
app.command()(poster)
app.command()(verify)
app.add_typer(film_app, name="film")
app.add_typer(models_app, name="models")
app.add_typer(timeline_app, name="timeline")
app.add_typer(train_app, name="train")
app.add_typer(world_app, name="world")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"filmwright {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Words into film on machines you own."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code; errors are one line on stderr, or JSON on stdout with --json."""
    as_json = "--json" in arguments
    try:
        code = app(list(arguments), prog_name="filmwright", standalone_mode=False)
    except BadFilm as error:  # all mistakes at once, a line each
        if as_json:
            told = {"code": error.code, "message": str(error), "mistakes": error.mistakes}
            typer.echo(json.dumps({"error": told}, ensure_ascii=False))
        else:
            typer.echo(str(error), err=True)
        return error.exit_code
    except FilmwrightError as error:
        return _report(error.code, str(error), error.exit_code, as_json=as_json)
    except TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        return _report("usage", f"{message.rstrip('.')}; see --help", 2, as_json=as_json) if message else 2
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_CANCELLED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit is silent
        return EXIT_PIPE
    if code == EXIT_CANCELLED:
        return _report(Cancelled.code, SAID, code, as_json=as_json)
    return code if isinstance(code, int) else 0


def _report(code: str, message: str, exit_code: int, *, as_json: bool) -> int:
    line = " ".join(message.split())
    if as_json:
        typer.echo(json.dumps({"error": {"code": code, "message": line}}, ensure_ascii=False))
    else:
        typer.echo(f"error: {line}", err=True)
    return exit_code


def hasten() -> None:
    """A command is a short process: what is imported for it is not searched for cycles again and again."""
    gc.set_threshold(GARBAGE)


def main() -> NoReturn:
    """The command of this process, to its exit; see `cli.entry`."""
    hasten()
    stop = _Stop()
    try:
        _on_signal(stop)  # a polite kill cleans up like Ctrl-C
        code = run(sys.argv[1:])
        _end_with(code)
    except KeyboardInterrupt:  # as `run` began or ended
        code = _report(Cancelled.code, SAID, EXIT_CANCELLED, as_json="--json" in sys.argv)
    except Exception:
        if not stop.asked:
            raise
        code = _report(Cancelled.code, SAID, EXIT_CANCELLED, as_json="--json" in sys.argv)
    gc.freeze()  # the process ends: looking for cycles would only take time
    sys.exit(code)


class _Stop:
    """Ends the command by an exception; code in C may turn that into another one, so `asked` says that it came."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, _signal: int, _frame: FrameType | None) -> NoReturn:
        self.asked = True
        raise _Stopped


class _Stopped(KeyboardInterrupt):
    """A KeyboardInterrupt proper that passes an `exec`, as of a dataclass, makes Python end by SIGINT, not by 130."""


def _end_with(code: int) -> None:
    """All is done, and said by `typer.echo`, which flushes: from here on a signal only ends the process sooner."""

    def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
        os._exit(code)

    _on_signal(leave)


def _on_signal(handler: Callable[[int, FrameType | None], NoReturn]) -> None:
    for kind in STOPPING:
        if signal.getsignal(kind) is not signal.SIG_IGN:
            signal.signal(kind, handler)
