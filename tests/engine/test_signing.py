"""Clips are signed as the last step of their making, and their frames are the same as without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filmwright.engine.build_request import build_request
from filmwright.engine.generate import generate_clip
from filmwright.engine.runs import unfinished
from filmwright.engine.sidecar import read_sidecar
from filmwright.media.video import read_video
from filmwright.provenance.authority import credentials_folder
from filmwright.provenance.verdict import verify_file
from filmwright.spec.errors import CredentialsError
from filmwright.spec.events import Event
from filmwright.spec.request import Request
from filmwright.weights.backbone import Backbone

PROMPT = "a red ball drops"


def request(**changes: object) -> Request:
    options = {"size": (128, 128), "num_frames": 9, "seed": 3, "steps": 2}
    return build_request(PROMPT, **(options | changes))  # type: ignore[arg-type]


def test_a_clip_is_signed_with_its_words_and_its_frames_stay(backbone: Backbone, tmp_path: Path) -> None:
    made = generate_clip(request(), path=tmp_path / "a.mp4", backbone=backbone)
    plain = generate_clip(request(), path=tmp_path / "b.mp4", backbone=backbone, sign=False)
    assert np.array_equal(made.frames, plain.frames)
    assert np.array_equal(read_video(tmp_path / "a.mp4")[0], read_video(tmp_path / "b.mp4")[0])
    signed, unsigned = (read_sidecar(tmp_path / name) for name in ("a.json", "b.json"))
    assert signed.frames_digest == unsigned.frames_digest
    assert unsigned.signed is None
    assert verify_file(tmp_path / "b.mp4").state == "unsigned"
    verdict = verify_file(tmp_path / "a.mp4")
    assert verdict.state == "valid"
    assert verdict.made is not None
    assert signed.signed is not None
    assert (signed.signed.manifest, signed.signed.private) == (verdict.made.manifest, False)
    said = verdict.made.generation
    assert said is not None
    assert (said["prompt"], said["requestDigest"], said["framesDigest"], said["weights"]) == (
        PROMPT, request().digest(), signed.frames_digest, backbone.hashes,
    )  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.mp4", "b.json", "b.mp4"]


def test_a_private_clip_says_only_that_it_was_generated(backbone: Backbone, tmp_path: Path) -> None:
    generate_clip(request(), path=tmp_path / "a.mp4", backbone=backbone, private=True)
    content = (tmp_path / "a.mp4").read_bytes()
    for secret in (PROMPT, "pocket", request().digest(), *backbone.hashes.values()):
        assert secret.encode() not in content
    verdict = verify_file(tmp_path / "a.mp4")
    assert (verdict.state, verdict.made and verdict.made.source) == ("valid", "trainedAlgorithmicMedia")
    sidecar = read_sidecar(tmp_path / "a.json")
    assert sidecar.signed is not None
    assert sidecar.signed.private


def test_what_a_clip_is_saved_to_later_is_signed_too(backbone: Backbone, tmp_path: Path) -> None:
    clip = generate_clip(request(), backbone=backbone)
    clip.save(tmp_path / "later.mp4")
    verdict = verify_file(tmp_path / "later.mp4")
    assert verdict.state == "valid"
    assert verdict.made is not None
    assert verdict.made.title == "later.mp4"
    signed = read_sidecar(tmp_path / "later.json").signed
    assert signed is not None
    assert signed.manifest == verdict.made.manifest
    generate_clip(request(), backbone=backbone, sign=False).save(tmp_path / "plain.mp4")
    assert verify_file(tmp_path / "plain.mp4").state == "unsigned"


def test_a_keyframe_is_an_ingredient(backbone: Backbone, tmp_path: Path) -> None:
    Image.new("RGB", (128, 128), (200, 60, 20)).save(tmp_path / "first.png")
    generate_clip(request(image=tmp_path / "first.png"), path=tmp_path / "a.mp4", backbone=backbone)
    made = verify_file(tmp_path / "a.mp4").made
    assert made is not None
    assert [(part.title, part.relationship) for part in made.ingredients] == [("first.png", "inputTo")]


def test_unsafe_keys_end_a_run_before_it_begins(backbone: Backbone, tmp_path: Path) -> None:
    generate_clip(request(), path=tmp_path / "a.mp4", backbone=backbone)
    (credentials_folder() / "signer.pem").chmod(0o644)
    events: list[Event] = []
    with pytest.raises(CredentialsError, match="chmod 0600"):
        generate_clip(request(), path=tmp_path / "b.mp4", backbone=backbone, on_event=events.append)
    assert events == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.mp4"]
    generate_clip(request(), path=tmp_path / "b.mp4", backbone=backbone, sign=False)


def test_a_run_that_died_stays_private(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, part: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("filmwright.media.video.VideoWriter.write", full)
    with pytest.raises(OSError, match="No space"):
        generate_clip(request(), path=tmp_path / "a.mp4", backbone=backbone, private=True)
    (run,) = unfinished()
    assert (run.record.sign, run.record.private) == (True, True)
