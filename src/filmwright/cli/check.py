"""`filmwright check`: what a prompt says, what it leaves open, why it will fail, and how to mend it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filmwright.cli import options
from filmwright.spec.errors import BadRequest

if TYPE_CHECKING:
    from filmwright.direction.check.report import PromptCheck, PromptFinding
    from filmwright.direction.check.target import Target

__all__ = ["check"]

MAX_FILE = 1_000_000  # bytes of a file of prompts
WIDEST = 110
FILMS = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A line of a file of prompts, counted from 1; `prompt` is None for a comment or nothing."""

    number: int
    text: str
    prompt: str | None


def check(
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT|FILE", help="A prompt, or a file with one a line; # begins a comment."
        ),
    ],
    fix: Annotated[bool, typer.Option("--fix", help="Print the prompt mended, and nothing else.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="With --fix: write to this file instead."),
    ] = None,
    model: options.Model = None,
    size: options.Size = None,
    seconds: options.Seconds = None,
    fps: Annotated[int | None, typer.Option(help="Frames a second.")] = None,
    camera: options.Camera = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for a warning, too.")] = False,
    refine: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Ask an OpenAI-compatible chat endpoint, such as a local one, for a rewrite."
        ),
    ] = None,
    refine_model: Annotated[
        str, typer.Option("--refine-model", metavar="NAME", help="The model that the endpoint is to ask.")
    ] = "default",
    as_json: options.Json = False,
) -> None:
    """Say why a prompt will fail, and mend it. Exits with 1 if the model would refuse it, as it is or as mended."""
    from filmwright.direction.check.report import check_prompt
    from filmwright.direction.check.target import target_for

    if out is not None and not fix:
        raise BadRequest("-o takes the prompts that --fix mends: give --fix too")
    if refine is not None and fix:
        raise BadRequest("--refine asks for another prompt, --fix mends this one: give one of them")
    if _is_film(prompt):
        if fix or any(given is not None for given in (out, model, size, seconds, fps, camera, refine)):
            raise BadRequest(
                f"{prompt} is a film, whose shots have their own models and words: `filmwright film check {prompt}`"
            )
        from filmwright.cli.film import check as check_film

        typer.echo(f"{prompt} is a film, so this is `filmwright film check {prompt}`", err=True)
        check_film(Path(prompt), strict=strict, store=False, as_json=as_json)
        return
    lines = _read(prompt)
    if out is not None:
        _check_out(out, prompt)
    target = target_for(model, size=size, seconds=seconds, fps=fps, camera=camera)
    if refine is not None:
        from filmwright.direction.check.refine import endpoint_of

        endpoint_of(refine)
    checked: dict[int, PromptCheck] = {}
    for line in lines:
        if line.prompt is not None:
            try:
                checked[line.number] = check_prompt(line.prompt, target)
            except BadRequest as error:
                raise BadRequest(
                    f"{prompt}, line {line.number}: {error}" if len(lines) > 1 else str(error)
                ) from error
    refined: dict[int, PromptCheck] = {}
    if refine is not None:
        from filmwright.direction.check.refine import refine as ask

        refined = {n: ask(found, target, refine, model=refine_model) for n, found in checked.items()}
    if as_json:
        _print_json(checked, refined)
    elif fix:
        _print_fixed(lines, checked, out)
        checked = _left(lines, checked, target)
    else:
        _show(checked, refined)
    if any(c.refused or (strict and c.findings) for c in checked.values()):
        raise typer.Exit(1)


def _is_film(prompt: str) -> bool:
    try:
        return prompt.lower().endswith(FILMS) and Path(prompt).is_file()
    except (OSError, ValueError):  # a prompt that no file system takes for a name
        return False


def _check_out(out: Path, prompt: str) -> None:
    """See that what is mended replaces neither what it was made from nor a film."""
    if out.suffix.lower() in FILMS:
        raise BadRequest(
            f"{out} is the name of a film, and these are prompts: give another one, such as fixed.txt"
        )
    try:
        same = out.exists() and Path(prompt).exists() and out.samefile(prompt)
    except OSError:  # a prompt that no file system takes for a name
        same = False
    if same:
        raise BadRequest(f"{out} is the file that is read: give another one, such as fixed{out.suffix}")


def _read(prompt: str) -> list[_Line]:
    """The lines of a file, or the prompt itself."""
    try:
        is_file = len(prompt) < 1000 and "\n" not in prompt and Path(prompt).is_file()
        is_folder = not is_file and " " not in prompt and bool(prompt) and Path(prompt).is_dir()
    except (OSError, ValueError):  # a prompt that no file system takes for a name
        is_file = is_folder = False
    if is_folder:
        raise BadRequest(f"{prompt} is a folder: give a file with one prompt a line, or more words")
    if not is_file:
        if prompt.endswith((".txt", ".prompts", *FILMS)) and " " not in prompt.strip():
            raise BadRequest(f"{prompt} is not a file: check the path")
        return [_Line(number=1, text=prompt, prompt=prompt)]
    path = Path(prompt)
    try:
        if path.stat().st_size > MAX_FILE:
            raise BadRequest(
                f"{path} has {path.stat().st_size / 1e6:.1f} MB: prompts take {MAX_FILE // 10**6} MB at most"
            )
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{path} is not text in UTF-8: give a file with one prompt a line") from error
    except OSError as error:
        raise BadRequest(f"cannot read {path}: {error.strerror or error}; check the path") from error
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        said = line.strip()
        lines.append(
            _Line(number=number, text=line, prompt=said if said and not said.startswith("#") else None)
        )
    if not any(line.prompt for line in lines):
        raise BadRequest(f"{path} holds no prompt: write one a line")
    return lines


def _print_json(checked: dict[int, PromptCheck], refined: dict[int, PromptCheck]) -> None:
    prompts: list[dict[str, Any]] = []
    for number, found in checked.items():
        entry = {"line": number, **found.as_json()}
        if number in refined:
            entry["refined"] = refined[number].as_json()
        prompts.append(entry)
    typer.echo(json.dumps({"prompts": prompts}, ensure_ascii=False))


def _print_fixed(lines: list[_Line], checked: dict[int, PromptCheck], out: Path | None) -> None:
    """The prompts mended, comments as they are; what belongs into the negative prompt is said on stderr."""
    text = "".join(f"{checked[line.number].fixed if line.prompt else line.text}\n" for line in lines)
    if out is None:
        typer.echo(text, nl=False)
    else:
        from filmwright.media.files import check_output, write_atomic

        write_atomic(check_output(out), text)
        mended = sum(found.fixed != found.prompt for found in checked.values())
        typer.echo(f"{out}: {mended} of {len(checked)} prompts mended")
    for number, found in checked.items():
        where = f"line {number}: " if len(lines) > 1 else ""
        if found.negative:
            typer.echo(f"{where}for --negative: {', '.join(found.negative)}", err=True)


def _left(lines: list[_Line], checked: dict[int, PromptCheck], target: Target) -> dict[int, PromptCheck]:
    """What is still to be found in the prompts mended; it is said on stderr, for only their author can mend it."""
    from filmwright.direction.check.report import check_prompt

    left = {number: check_prompt(found.fixed, target) for number, found in checked.items()}
    for number, found in left.items():
        where = f"line {number}: " if len(lines) > 1 else ""
        for finding in found.findings:
            option = f"; try {finding.option}" if finding.option else ""
            typer.echo(f"{where}left: {finding.code}: {finding.why}{option}", err=True)
    return left


def _show(checked: dict[int, PromptCheck], refined: dict[int, PromptCheck]) -> None:
    for n, (number, found) in enumerate(checked.items()):
        if n:
            typer.echo("")
        if len(checked) > 1:
            typer.echo(f"{number}: {found.prompt}")
        _show_one(found)
        if number in refined:
            typer.echo(f"\nrefined: {refined[number].prompt}")
            _show_one(refined[number])


def _show_one(found: PromptCheck) -> None:
    """The brief as a table, then findings with the words underlined."""
    for part, text in found.brief.model_dump().items():
        typer.echo(f"  {part:<8} {text or '-  (not said)'}")
    for finding in found.findings:
        typer.echo("")
        _show_finding(finding, found.prompt)
    count = len(found.findings)
    verdict = "nothing found" if not count else f"{count} finding{'s' if count > 1 else ''}"
    more = f"; --fix gives: {found.fixed}" if found.fixed != found.prompt else ""
    typer.echo(f"\n{found.model}: {verdict}{more}")


def _show_finding(finding: PromptFinding, prompt: str) -> None:
    typer.secho(f"{finding.severity} ", fg="red" if finding.severity == "error" else "yellow", nl=False)
    typer.echo(f"{finding.code}: {finding.why}")
    if (
        finding.start is not None
        and finding.end is not None
        and (finding.start, finding.end) != (0, len(prompt))
    ):
        text, mark = _underlined(prompt, finding.start, finding.end)
        typer.echo(f"    {text}\n    {mark}")
    if finding.rewrite:
        typer.echo(f"    try: {finding.rewrite}")
    if finding.negative:
        typer.echo(f"    with: --negative {finding.negative!r}")
    if finding.option:
        typer.echo(f"    try: {finding.option}")


def _underlined(prompt: str, start: int, end: int) -> tuple[str, str]:
    """A line of the prompt around these characters, and carets beneath them, whatever widths the signs have."""
    from rich.cells import cell_len

    width = max(40, min(shutil.get_terminal_size().columns, WIDEST) - 8)
    left = max(0, min(start - width // 3, len(prompt) - width))
    right = min(len(prompt), max(left + width, min(end, left + 2 * width)))
    lead, tail = ("..." if left else ""), ("..." if right < len(prompt) else "")
    marked = cell_len(prompt[start : min(end, right)])
    return lead + prompt[left:right] + tail, " " * (len(lead) + cell_len(prompt[left:start])) + "^" * max(
        marked, 1
    )
