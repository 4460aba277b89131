"""`filmwright verify`: is a file, or each picture of a folder, as it was signed, by whom, and from which words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filmwright.cli import options

if TYPE_CHECKING:
    from filmwright.provenance.verdict import Made, Verdict

__all__ = ["tree", "verify"]

NOT_VALID = 1


def verify(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="MP4, MOV, PNG, JPEG or WAVE, or a folder of pictures.", show_default=False
        ),
    ],
    trust: Annotated[
        list[Path] | None,
        typer.Option(metavar="CERT.pem", help="Know this authority as well: another studio's authority.pem."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Say whether a file is as it was signed, who signed it, and which words it came from.

    Exit code 0: valid, and signed by an authority that is known here; of a folder, each picture. 1: anything else that
    could be found out (an unknown signer, expired, tampered, made from what was tampered with, stripped, never signed).
    2: the file cannot be read.
    """
    from filmwright.provenance.verdict import verify_file, verify_folder

    if file.is_dir():
        _tell_folder(file, verify_folder(file, trust=trust or ()), as_json=as_json)
        return
    verdict = verify_file(file, trust=trust or ())
    if as_json:
        typer.echo(json.dumps(verdict.plain(), ensure_ascii=False))
    else:
        typer.echo(f"{file}: {verdict.state}: {verdict.said}")
        if verdict.made is not None:
            for line in tree(verdict.made):
                typer.echo(line)
    if not verdict.is_valid:
        raise typer.Exit(NOT_VALID)


def _tell_folder(folder: Path, verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    """How many pictures are valid, and which are not."""
    others = [verdict for verdict in verdicts if not verdict.is_valid]
    valid = len(verdicts) - len(others)
    if as_json:
        told = {
            "path": str(folder),
            "valid": not others,
            "num_files": len(verdicts),
            "num_valid": valid,
            "not_valid": [verdict.plain() for verdict in others],
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        for verdict in others:
            typer.echo(f"{verdict.path}: {verdict.state}: {verdict.said}")
        signers = ", ".join(dict.fromkeys(verdict.signer for verdict in verdicts if verdict.is_valid))
        by = f", signed by {signers}" if signers else ""
        typer.echo(f"{folder}: {valid} of {len(verdicts)} files valid{by}")
    if others:
        raise typer.Exit(NOT_VALID)


def tree(made: Made, indent: str = "") -> list[str]:
    """The chain from a file back to its prompts, a line a fact, indented by depth."""
    did = ", ".join(action.removeprefix("c2pa.") for action in dict.fromkeys(made.actions))
    facts = [made.relationship, did, made.source, made.software]
    head = "without credentials" if made.manifest is None else "; ".join(filter(None, facts))
    lines = [f"{indent}{_safe(made.title)}: {_safe(head)}"]
    inside = indent + "    "
    if made.generation is not None:
        said = made.generation
        lines.append(f"{inside}prompt: {_safe(said.get('prompt'))}")
        if said.get("negative"):
            lines.append(f"{inside}negative: {_safe(said['negative'])}")
        lines.append(f"{inside}model {_safe(said.get('model'))}, seed {_safe(said.get('seed'))}")
    elif made.source == "trainedAlgorithmicMedia":
        lines.append(f"{inside}prompt and model are private")
    lines += [
        f"{inside}wrong when it was used: {_safe(wrong.where)} ({_safe(wrong.code)})"
        for wrong in made.problems
    ]
    for part in made.ingredients:
        lines += tree(part, inside)
    return lines


def _safe(text: object) -> str:
    """Words from a file that anybody may have made: one line, and nothing that steers a terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text))
