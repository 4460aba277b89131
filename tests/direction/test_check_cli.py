"""`filmwright check` as a person and a script see it, and a chat endpoint of every temper."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from filmwright.cli.main import run
from filmwright.direction.check.refine import KEY, endpoint_of, refine
from filmwright.direction.check.report import check
from filmwright.direction.check.target import target_for
from filmwright.spec.errors import BadRequest, RefineError

OPEN = ["--model", "wan2.1-t2v-1.3b"]


def test_a_person_sees_parts_findings_and_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "A dog runs over a lawn at noon, pale moonlight", *OPEN]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "  subject  A dog" in out
    assert "  camera   -  (not said)" in out
    marked = next(i for i, line in enumerate(out) if set(line.strip()) == {"^"})
    start, end = out[marked].index("^"), out[marked].rindex("^") + 1
    assert out[marked - 1][start:end] == "pale moonlight"
    assert "    try: A dog runs over a lawn at noon" in out
    assert out[-1].startswith("wan2.1-t2v-1.3b: 1 finding; --fix gives: A dog runs")


def test_what_a_model_refuses_is_exit_1_and_strict_minds_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "A red ball rolls", "--seconds", "20"]) == 1
    assert "--seconds 2.06" in capsys.readouterr().out
    assert run(["check", "A red ball", "--strict"]) == 1
    assert run(["check", "A red ball rolls", "--strict"]) == 0


def test_a_camera_option_is_motion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "A red ball", "--camera", "orbit-left", "--strict"]) == 0
    assert run(["check", "A red ball", "--camera", "static", "--strict"]) == 1
    assert "no-motion: nothing moves in this prompt" in capsys.readouterr().out


def test_json_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "Five wrestlers grapple, no text", *OPEN, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["prompts"]
    assert [f["code"] for f in found["findings"]] == ["crowded-interaction", "negation"]
    assert found["fixed"] == "Two wrestlers grapple"
    assert found["negative"] == ["text"]
    assert found["brief"]["subject"] == "Five wrestlers"
    assert "setting" in found["missing"]
    first = found["findings"][0]
    assert found["prompt"][first["start"] : first["end"]] == "Five wrestlers grapple"


def test_a_file_keeps_its_comments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "shots.txt", tmp_path / "fixed.txt"
    source.write_text(
        "# scene one\nA dog runs at noon, moonlight\n\nA beach with no people, waves rolling in\n"
    )
    assert run(["check", str(source), *OPEN, "--fix"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "# scene one\nA dog runs at noon\n\nA beach, waves rolling in\n"
    assert printed.err == "line 4: for --negative: people\n"
    assert run(["check", str(source), *OPEN, "--fix", "-o", str(out)]) == 0
    assert out.read_text() == printed.out
    assert "2 of 2 prompts mended" in capsys.readouterr().out
    assert run(["check", str(source), *OPEN, "--json"]) == 0
    assert [p["line"] for p in json.loads(capsys.readouterr().out)["prompts"]] == [2, 4]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "PROMPT|FILE"),
        ([""], "prompt is empty"),
        (["x" * 1001], "1001 letters"),
        (["nowhere.txt"], "not a file"),
        (["a ball", "--model", "poket"], "did you mean 'pocket'"),
        (["a ball", "--size", "big"], "256x160"),
        (["a ball", "-o", "x.txt"], "--fix"),
        (["a ball", "--refine", "ftp://x"], "no address"),
        (["a ball", "--refine", "http://a:b@x"], "password"),
        (["a ball", "--refine", "http://localhost:1/v1", "--fix"], "one of them"),
        (["empty.txt"], "holds no prompt"),
        (["long.txt"], "line 2"),
        (["."], "is a folder"),
        (["nowhere.yaml"], "not a file"),
        (["binary.txt"], "UTF-8"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    (tmp_path / "long.txt").write_text("A ball rolls\n" + "x" * 1001 + "\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\xd8")
    assert run(["check", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert said in printed.err


FILM = """film: 1
title: One
sequences:
  - id: first
    shots:
      - id: one
        prompt: a red ball rolls to the left
        seconds: 1
"""


def test_a_film_is_checked_as_one_and_never_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "film.yaml"
    film.write_text(FILM)
    assert run(["check", str(film)]) == 0
    printed = capsys.readouterr()
    assert printed.err == f"{film} is a film, so this is `filmwright film check {film}`\n"
    assert "1 shots" in printed.out
    for options in (["--fix"], ["--fix", "-o", str(film)], ["--seconds", "1"]):
        assert run(["check", str(film), *options]) == 2
        assert f"filmwright film check {film}" in capsys.readouterr().err
    assert film.read_text() == FILM


def test_what_is_mended_does_not_replace_its_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, film = tmp_path / "shots.txt", tmp_path / "film.yaml"
    source.write_text("rde ball rolls\n")
    film.write_text(FILM)
    for out in (source, tmp_path / "." / "shots.txt", film):
        assert run(["check", str(source), "--fix", "-o", str(out)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert (source.read_text(), film.read_text()) == ("rde ball rolls\n", FILM)


def test_what_only_its_author_can_mend_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "Justice", *OPEN, "--fix"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "Justice\n"
    assert printed.err.startswith("left: too-abstract: 'justice' cannot be seen")
    assert run(["check", "Justice", *OPEN, "--fix", "--strict"]) == 1
    assert run(["check", "rde ball rolls", "--fix", "--strict"]) == 0
    assert run(["check", "a red ball rolls", "--seconds", "20", "--fix"]) == 1


def test_neither_the_check_nor_its_help_load_anything_heavy() -> None:
    code = (
        "import sys; from filmwright.cli.main import run; run(sys.argv[1:]);"
        "print(sorted({'torch', 'numpy', 'av', 'cv2', 'skimage'} & set(sys.modules)))"
    )
    for arguments in (["check", "--help"], ["check", "a red ball rolls"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]"


class Endpoint(BaseHTTPRequestHandler):
    """A chat endpoint that answers with what the test says: a list of (status, body or content)."""

    answers: list[tuple[int, Any]]
    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        self.asked.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
        status, said = self.answers.pop(0)
        content = (
            said
            if isinstance(said, bytes)
            else json.dumps({"choices": [{"message": {"content": said}}]}).encode()
        )
        self.send_response(status)
        if status in (301, 302, 307):
            self.send_header("Location", "http://localhost:9/stolen")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def endpoint(*answers: tuple[int, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []
    handler = type("Handler", (Endpoint,), {"answers": list(answers), "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


GOOD = {
    "subject": "a red ball", "action": "rolls to the left", "setting": "on a wooden floor", "light": "sunset light",
    "camera": "the camera pushes in", "lens": None, "mood": None,
}  # fmt: skip


def test_an_endpoint_is_asked_for_a_brief_and_its_answer_is_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "secret")
    with endpoint((200, json.dumps(GOOD))) as (url, asked):
        assert (
            run(["check", "The spirit of freedom", "--refine", url, "--refine-model", "small", "--json"]) == 0
        )
    (found,) = json.loads(capsys.readouterr().out)["prompts"]
    refined = found["refined"]
    assert (
        refined["prompt"]
        == "a red ball rolls to the left on a wooden floor, sunset light, the camera pushes in"
    )
    assert refined["findings"] == []
    (call,) = asked
    assert (call["path"], call["model"], call["key"]) == ("/v1/chat/completions", "small", "Bearer secret")
    assert "too-abstract" in call["messages"][1]["content"]
    assert call["response_format"]["json_schema"]["schema"]["additionalProperties"] is False


def test_an_answer_passes_the_same_check() -> None:
    bad = {**GOOD, "subject": "a bottle", "light": "moonlight at noon"}
    with endpoint((200, json.dumps(bad))) as (url, _):
        target = target_for()
        refined = refine(check("a ball rolls"), target, url)
    assert set(refined.codes) == {"contradictory-light", "outside-training"}


def test_a_server_that_knows_no_schema_is_asked_without_one() -> None:
    with endpoint((400, b"unknown field"), (200, f"```json\n{json.dumps(GOOD)}\n```")) as (url, asked):
        assert refine(check("a ball rolls"), target_for(), url).codes == ()
    assert ["response_format" in call for call in asked] == [True, False]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, b"<html>"), "chat endpoint"),
        ((200, b"[" * 100_000), "chat endpoint"),
        ((200, "I would rather write a poem."), "no brief"),
        ((200, json.dumps({**GOOD, "evil": "x"})), "no brief"),
        ((200, json.dumps({**GOOD, "subject": None})), "without a subject"),
        ((200, json.dumps({**GOOD, "subject": "a \x1b[2Jball"})), "control signs"),
        ((200, json.dumps({**GOOD, "subject": "ball " * 100})), "too long"),
        ((200, "\x1b]0;owned\x07"), "no brief"),
        ((200, b"x" * 300_000), "256 KB"),
        ((401, b"{}"), "status 401"),
        ((500, b"{}"), "status 500"),
        ((302, b""), "status 302"),
    ],
)
def test_a_bad_answer_is_one_line_and_exit_3(
    answer: tuple[int, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoint(answer) as (url, asked):
        assert run(["check", "a red ball rolls", "--refine", url]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "\x1b" not in printed.err
    assert said in printed.err
    assert len(asked) == 1


def test_nobody_there_and_nobody_in_time() -> None:
    with endpoint() as (url, _):
        gone = url
    with pytest.raises(RefineError, match="cannot be asked"):
        refine(check("a ball rolls"), target_for(), gone)
    waiting = threading.Event()

    class Slow(Endpoint):
        def do_POST(self) -> None:
            waiting.wait(5)

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            with pytest.raises(RefineError, match=r"in time|cannot be asked"):
                refine(
                    check("a ball rolls"), target_for(), f"http://127.0.0.1:{server.server_port}", seconds=0.3
                )
        finally:
            waiting.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1/chat/completions"),
        ("http://localhost:11434/v1/", "http://localhost:11434/v1/chat/completions"),
        ("https://x.example/api/v1/chat/completions", "https://x.example/api/v1/chat/completions"),
    ],
)
def test_addresses(url: str, address: str) -> None:
    assert endpoint_of(url) == address


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://", "localhost:80", "http://x:99999", "http://a b", "http://[::1"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(BadRequest, match="no address"):
        endpoint_of(url)


def test_a_key_does_not_travel_unprotected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    with pytest.raises(BadRequest, match="unprotected"):
        endpoint_of("http://example.org")
    assert endpoint_of("https://example.org").startswith("https")
    assert endpoint_of("http://127.0.0.1:1").startswith("http")
