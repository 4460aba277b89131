"""`film.yaml` to begin with: an example that builds, with its JSON Schema beside it for editors."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from filmwright.direction.controls import Controls
from filmwright.media.files import check_output, write_atomic
from filmwright.spec.errors import BadRequest
from filmwright.spec.film import film_schema

__all__ = ["SCHEMA_NAME", "new_film", "schema_text"]

SCHEMA_NAME = "film.schema.json"


def schema_text() -> str:
    """The JSON Schema of film files as a file's content, with that of the controls of a shot."""
    schema = film_schema()
    controls = Controls.model_json_schema(mode="validation", ref_template="#/$defs/Controls-{model}")
    parts = controls.pop("$defs")
    schema["$defs"] |= {"Controls": controls} | {f"Controls-{name}": part for name, part in parts.items()}
    shot = schema["$defs"]["Shot"]["properties"]["controls"]
    shot["anyOf"] = [{"$ref": "#/$defs/Controls"}, {"type": "null"}]
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def new_film(path: Path) -> Path:
    """Writes the example to `path`, and its schema beside it; gives the path.

    Raises:
        BadRequest: the file is there already.
        MediaError: it cannot be written.
    """
    if path.exists():
        raise BadRequest(f"{path} is there already and stays as it is: name another file")
    check_output(path, suffixes=(".yaml", ".yml"))
    example = files("filmwright.direction.film").joinpath("example.yaml").read_text(encoding="utf-8")
    schema = path.with_name(SCHEMA_NAME)
    if not schema.exists():
        write_atomic(schema, schema_text())
    write_atomic(path, example.replace("path: film.mp4", f"path: {path.stem}.mp4"))
    return path
