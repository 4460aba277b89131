"""Asks a chat endpoint to rewrite a prompt as a brief: any that speaks `/v1/chat/completions`, a local one, say.

Nothing needs it and nothing asks it unasked. What it answers is a stranger's text: it is read with a limit on size and
time, must be a brief and nothing else, and passes the same check as a prompt that a person wrote. Redirections are not
followed, and a key goes only to where nobody can read along.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from filmwright.direction.check.report import PromptCheck, check_prompt
from filmwright.direction.check.target import Target
from filmwright.engine.build_request import MAX_PROMPT_LETTERS
from filmwright.spec.brief import PARTS_OF_A_BRIEF, Brief
from filmwright.spec.errors import BadRequest, RefineError

__all__ = ["KEY", "endpoint_of", "refine"]

KEY = "FILMWRIGHT_REFINE_KEY"
MAX_ANSWER = 256 * 1024  # bytes; a brief has one kilobyte
MAX_PART = 400  # letters of one part of a brief
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_UNKNOWN_FORMAT = frozenset({400, 404, 422})  # what servers say that know no response_format


def refine(
    check: PromptCheck, target: Target, url: str, *, model: str = "default", seconds: float = 60.0
) -> PromptCheck:
    """The check of what an endpoint makes of a checked prompt.

    Args:
        check: of the prompt that is to be rewritten; its findings are told.
        target: what the answer is checked for.
        url: http or https; `/v1/chat/completions` is added where it is missing.
        model: a name that the endpoint knows.
        seconds: that it may take in all.

    Raises:
        BadRequest: a URL that is none, or a key that would travel unprotected.
        RefineError: nobody answers, or the answer is no brief.
    """
    address = endpoint_of(url)
    body: dict[str, Any] = {
        "model": model,
        "temperature": 0.3,
        "messages": [
            {"role": "system", "content": _task(target)},
            {"role": "user", "content": _told(check)},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "brief", "strict": True, "schema": _schema()},
        },
    }
    until = time.monotonic() + seconds
    status, answer = _post(address, body, until)
    if status in _UNKNOWN_FORMAT:  # many local servers know no schema: the task says it too
        del body["response_format"]
        status, answer = _post(address, body, until)
    if status != 200:
        raise RefineError(
            f"{address} answers with status {status}: see --refine-model, and {KEY} if it wants a key"
        )
    brief = _brief(_content(answer, address), address)
    try:
        return check_prompt(brief.render(), target)
    except BadRequest as error:
        raise RefineError(f"{address} answers with a brief that is no prompt: {error}") from error


def endpoint_of(url: str) -> str:
    """The address to post to.

    Raises:
        BadRequest: not http or https, without a host, or with a key that others could read.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadRequest(f"--refine {url!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() or ord(c) < 32 for c in url):
        raise BadRequest(f"--refine {url!r} is no address: give one such as http://localhost:11434/v1")
    if parts.username or parts.password:
        raise BadRequest(f"--refine takes no password in the address: set {KEY} instead")
    if os.environ.get(KEY) and parts.scheme == "http" and host not in LOCAL:
        raise BadRequest(f"the key in {KEY} would travel unprotected to {host}: give an https address")
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions" if path.endswith("/v1") else "/v1/chat/completions"
    return f"{parts.scheme}://{parts.netloc}{path}"


def _post(address: str, body: Mapping[str, Any], until: float) -> tuple[int, bytes]:
    """Status and answer; whatever else happens is a `RefineError`."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None  # so that neither prompt nor key goes elsewhere

    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key := os.environ.get(KEY):
        headers["Authorization"] = f"Bearer {key}"
    request = Request(address, json.dumps(body).encode(), headers)  # noqa: S310 (endpoint_of lets http and https through)
    try:
        with build_opener(Stay).open(request, timeout=max(until - time.monotonic(), 0.1)) as response:
            return response.status, _read(response, address, until)
    except HTTPError as error:
        with error:
            return error.code, b""
    except TimeoutError as error:
        raise RefineError(
            f"{address} does not answer in time: try a smaller model, or do without --refine"
        ) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise RefineError(
            f"{address} cannot be asked ({reason}): is it running? --refine is never needed"
        ) from error


def _read(response: Any, address: str, until: float) -> bytes:
    """The answer, if it is neither endless nor endlessly slow."""
    answer = b""
    while piece := response.read1(65536):
        answer += piece
        if len(answer) > MAX_ANSWER:
            raise RefineError(f"{address} answers with more than {MAX_ANSWER >> 10} KB: that is no brief")
        if time.monotonic() > until:
            raise RefineError(f"{address} does not come to an end in time: try a smaller model")
    return answer


def _content(answer: bytes, address: str) -> str:
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise RefineError(f"{address} does not answer as a chat endpoint does: check the address") from error
    if not isinstance(content, str):
        raise RefineError(f"{address} answers without a text: try another --refine-model")
    return content


def _brief(content: str, address: str) -> Brief:
    """The brief in an answer, which may stand in a fence but must be alone."""
    text = content.strip()
    if text.startswith("```"):
        text = text.strip("`").removeprefix("json").strip()
    try:
        brief = Brief.model_validate(json.loads(text))
    except (ValueError, ValidationError, RecursionError) as error:
        shown = " ".join(c for c in content[:40].split() if c.isprintable())
        raise RefineError(
            f"{address} answers with no brief ({shown!r}): try another --refine-model"
        ) from error
    said = [part for name in PARTS_OF_A_BRIEF if (part := getattr(brief, name))]
    if any(len(part) > MAX_PART or not part.isprintable() for part in said):
        raise RefineError(
            f"{address} answers with a brief that is too long or has control signs: try another --refine-model"
        )
    if not brief.subject:
        raise RefineError(f"{address} answers with a brief without a subject: try another --refine-model")
    return brief


def _schema() -> dict[str, Any]:
    """Of the brief, as strict servers want it: every part named, those that are left out null."""
    part = {"type": ["string", "null"], "maxLength": MAX_PART}
    return {
        "type": "object",
        "properties": dict.fromkeys(PARTS_OF_A_BRIEF, part),
        "required": list(PARTS_OF_A_BRIEF),
        "additionalProperties": False,
    }


def _task(target: Target) -> str:
    known = ""
    if (vocabulary := target.vocabulary) is not None:
        part = vocabulary.part
        known = (
            f" The model knows a small world only: subjects {', '.join(part.subjects)}; events "
            f"{', '.join(part.events)}; settings {', '.join(part.settings)}; light {', '.join(part.lights)}; "
            f"camera {', '.join(part.cameras)}; "
            f"at most {part.max_bodies} thing(s)."
        )
    return (
        "You rewrite a prompt for a text-to-video model as a brief of one shot. Answer with one JSON object and "
        "nothing else. "
        f"Its keys are {', '.join(PARTS_OF_A_BRIEF)}; each is a short phrase in plain English, or null. Together "
        f"they are read as 'subject action setting, light, camera, lens, mood'. Keep what the author means. At most "
        f"{target.actions} action(s) one after another, one or two subjects, one time of day, one lens, one camera "
        f"move; only what can be seen; no negations; {MAX_PROMPT_LETTERS} letters in all at most.{known}"
    )


def _told(check: PromptCheck) -> str:
    found = "\n".join(f"- {f.code}: {f.why}" for f in check.findings if f.start is not None)
    return f"Prompt: {check.prompt}" + (f"\nWhat is wrong with it:\n{found}" if found else "")
