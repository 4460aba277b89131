from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from cryptography import x509

from filmwright.cli.main import run
from filmwright.media.boxes import boxes_of
from filmwright.media.deliver import DELIVERIES, Audio, deliver
from filmwright.provenance.authority import credentials_folder, open_authority
from filmwright.provenance.manifest import (
    Generation,
    Ingredient,
    clip_manifest,
    derived_manifest,
    film_manifest,
)
from filmwright.provenance.signing import MARK, Signed, sign_file
from filmwright.provenance.verdict import verify_file, verify_folder
from filmwright.spec.errors import CredentialsError

PROMPT = "a crimson balloon over Zanzibar"


def generation(prompt: str = PROMPT) -> Generation:
    return Generation(
        prompt=prompt, negative="rain", model="pocket", seed=2**62 + 1, request_digest="ab" * 32,
        weights={"vae": "cd" * 32}, request={"width": 64, "camera": None},
    )  # fmt: skip


def unsigned(path: Path, form: str, comment: str | None = MARK) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (8, 128, 256, 3), dtype=np.uint8)
    sound = Audio(samples=np.zeros((2, 20_000), np.float32), rate=48_000)
    where = path.with_suffix("") if form == "png" else path
    deliver(
        [frames], where, format=form, width=256, height=128, fps=Fraction(24), audio=sound, comment=comment
    )
    if form == "png":
        shutil.move(where / f"{path.stem}.000001.png", path)
    return path


def clip(path: Path, prompt: str = PROMPT, *, private: bool = False, form: str = "h264") -> Path:
    unsigned(path, form)
    sign_file(path, clip_manifest(path.name, generation(prompt), private=private))
    return path


def media_at(data: bytes) -> int:
    """A place in the middle of the media."""
    mdat = next(box for box in boxes_of(data) if box.path == "mdat")
    return (mdat.content + mdat.end) // 2


FILES = ["h264", "h265", "av1", "prores-422-hq", "png", "wav"]


@pytest.mark.parametrize("form", FILES)
def test_a_signed_file_verifies_plays_and_tells_its_words(tmp_path: Path, form: str) -> None:
    path = unsigned(tmp_path / f"a{DELIVERIES[form].suffix}", form)
    plain = tmp_path / f"plain{path.suffix}"
    shutil.copy(path, plain)
    signed = sign_file(path, clip_manifest(path.name, generation()))
    verdict = verify_file(path)
    assert (verdict.state, verdict.problems, verdict.signer) == ("valid", (), signed.signer)
    assert "not on a public trust list" in verdict.said
    made = verdict.made
    assert made is not None
    assert (made.manifest, made.source, made.actions) == (
        signed.manifest, "trainedAlgorithmicMedia", ("c2pa.created",),
    )  # fmt: skip
    assert made.software.startswith("Filmwright ")
    assert made.generation is not None
    assert {key: made.generation[key] for key in ("prompt", "negative", "model", "seed", "requestDigest", "weights")} == {
        "prompt": PROMPT, "negative": "rain", "model": "pocket", "seed": str(2**62 + 1),
        "requestDigest": "ab" * 32, "weights": {"vae": "cd" * 32},
    }  # fmt: skip
    assert decoded(path) == decoded(plain)
    assert verify_file(plain).state == "stripped"  # never signed, but marked as one that was


def decoded(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(frame.to_ndarray()) for frame in container.decode(container.streams[0])]


@pytest.mark.parametrize("form", FILES)
def test_one_changed_byte_of_the_content_is_found(tmp_path: Path, form: str) -> None:
    path = clip(tmp_path / f"a{DELIVERIES[form].suffix}", form=form)
    data = bytearray(path.read_bytes())
    at = (
        media_at(data)
        if form not in {"png", "wav"}
        else data.index(b"IDAT") + 500
        if form == "png"
        else data.index(b"data") + 900
    )
    data[at] ^= 1
    path.write_bytes(data)
    verdict = verify_file(path)
    assert verdict.state == "tampered"
    assert not verdict.is_valid
    assert any(
        "ash" in problem.code and problem.where.startswith("c2pa.hash.") for problem in verdict.problems
    )


def test_changed_words_are_found_and_named(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    path.write_bytes(
        path.read_bytes().replace(PROMPT.encode(), PROMPT.replace("crimson", "scarlet").encode())
    )
    verdict = verify_file(path)
    assert verdict.state == "tampered"
    wrong = next(problem for problem in verdict.problems if "mismatch" in problem.code)
    assert wrong.where == "org.filmwright.generation"


@pytest.mark.parametrize("end", [0.2, 0.7, 0.999])
def test_a_truncated_file_is_not_valid(tmp_path: Path, end: float) -> None:
    path = clip(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * end)])
    assert verify_file(path).state == "tampered"


def remuxed(source: Path, target: Path, *, keep_metadata: bool) -> Path:
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        if keep_metadata:
            new.metadata.update({"comment": old.metadata["comment"]})
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return target


def test_a_copy_without_credentials_is_told_from_one_that_never_had_any(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    copy = remuxed(path, tmp_path / "copy.mp4", keep_metadata=True)
    assert verify_file(copy).state == "stripped"
    bare = remuxed(path, tmp_path / "bare.mp4", keep_metadata=False)
    assert verify_file(bare).state == "unsigned"
    (tmp_path / "bare.json").write_text(json.dumps({"signed": {"manifest": "urn:c2pa:1"}}))
    verdict = verify_file(bare)
    assert verdict.state == "stripped"
    assert "urn:c2pa:1" in verdict.said
    for content in ("[", "[]", '{"signed": 3}', '{"signed": {}}'):
        (tmp_path / "bare.json").write_text(content)
        assert verify_file(bare).state == "unsigned"


def test_a_stranger_can_say_anything_but_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_authority()
    own = os.environ["FILMWRIGHT_HOME"]
    monkeypatch.setenv("FILMWRIGHT_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("FILMWRIGHT_STUDIO", "Big Studio")
    path = clip(tmp_path / "a.mp4")
    certificate = credentials_folder() / "authority.pem"
    monkeypatch.setenv("FILMWRIGHT_HOME", own)
    verdict = verify_file(path)
    assert (verdict.state, verdict.is_valid) == ("unknown-signer", False)
    assert verdict.signer.startswith("Big Studio signer ")
    assert verify_file(path, trust=[certificate]).state == "valid"
    assert verify_file(clip(tmp_path / "mine.mp4"), trust=[certificate]).state == "valid"
    data = bytearray(path.read_bytes())
    data[media_at(data)] ^= 1
    path.write_bytes(data)
    assert verify_file(path).state == "tampered"
    (tmp_path / "no.pem").write_text("no")
    with pytest.raises(CredentialsError, match="not a certificate"):
        verify_file(path, trust=[tmp_path / "no.pem"])


def test_a_film_nests_its_shots_and_their_words(tmp_path: Path) -> None:
    shots = [clip(tmp_path / f"{i}.mp4", f"{PROMPT} {i}") for i in range(2)]
    foreign = unsigned(tmp_path / "camera.mov", "prores-422-hq", None)
    film = unsigned(tmp_path / "film.mp4", "h265")
    parts = [*shots, Ingredient(path=foreign, relationship="componentOf", title="from a camera")]
    sign_file(film, film_manifest("film.mp4", parts, all_generated=False, changes=["c2pa.edited"]))
    copy = unsigned(tmp_path / "film.mov", "prores-422-hq")
    sign_file(copy, derived_manifest("film.mov", film, changes=[("c2pa.transcoded", "ProRes 422 HQ")]))
    for shot in shots:
        shot.unlink()  # the chain is inside the file
    verdict = verify_file(copy)
    assert verdict.state == "valid"
    assert verdict.made is not None
    assert verdict.made.actions == ("c2pa.opened", "c2pa.transcoded")
    (below,) = verdict.made.ingredients
    assert (below.title, below.relationship) == ("film.mp4", "parentOf")
    assert below.source == "compositeWithTrainedAlgorithmicMedia"
    assert below.actions == ("c2pa.created", "c2pa.placed", "c2pa.placed", "c2pa.placed", "c2pa.edited")
    assert [made.relationship for made in below.ingredients] == ["componentOf"] * 3
    assert [made.generation["prompt"] for made in below.ingredients[:2] if made.generation] == [
        f"{PROMPT} {i}" for i in range(2)
    ]
    camera = below.ingredients[2]
    assert (camera.title, camera.manifest, camera.generation) == ("from a camera", None, None)


def test_a_shot_that_was_changed_before_it_was_placed_is_said(tmp_path: Path) -> None:
    shot = clip(tmp_path / "shot.mp4")
    data = bytearray(shot.read_bytes())
    data[media_at(data)] ^= 1
    shot.write_bytes(data)
    film = unsigned(tmp_path / "film.mp4", "h264")
    signed = sign_file(film, film_manifest("film.mp4", [shot, clip(tmp_path / "good.mp4")]))
    assert signed.broken == ("shot.mp4",)
    verdict = verify_file(film)
    assert (verdict.state, verdict.is_valid, verdict.problems) == ("broken-chain", False, ())
    assert "shot.mp4 was changed before (c2pa.hash.bmff.v3 (assertion.bmffHash.mismatch))" in verdict.said
    assert "good.mp4" not in verdict.said
    assert verdict.made is not None
    assert [problem.where for problem in verdict.made.ingredients[0].problems] == ["c2pa.hash.bmff.v3"]
    copy = unsigned(tmp_path / "copy.mp4", "h264")
    assert sign_file(copy, derived_manifest("copy.mp4", film)).broken == ()  # the film is as it was signed
    assert verify_file(copy).state == "broken-chain"
    assert "shot.mp4 was changed before" in verify_file(copy).said


def test_a_folder_of_pictures_is_verified_picture_by_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    with pytest.raises(CredentialsError, match="no file in it can carry content credentials"):
        verify_folder(folder)
    clip(folder / "a.png", form="png")
    for name in ("b", "c"):
        shutil.copy(folder / "a.png", folder / f"{name}.png")
    (folder / "notes.txt").write_text("not a picture")
    assert run(["verify", str(folder)]) == 0
    assert capsys.readouterr().out.startswith(f"{folder}: 3 of 3 files valid, signed by Filmwright signer ")
    data = bytearray((folder / "b.png").read_bytes())
    data[data.index(b"IDAT") + 500] ^= 1
    (folder / "b.png").write_bytes(data)
    assert run(["verify", str(folder)]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{folder / 'b.png'}: tampered: changed since it was signed: c2pa.hash.data")
    assert second.startswith(f"{folder}: 2 of 3 files valid")
    assert run(["verify", str(folder), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["valid"], told["num_files"], told["num_valid"]) == (False, 3, 2)
    assert [made["state"] for made in told["not_valid"]] == ["tampered"]


def test_private_credentials_keep_the_words_to_themselves(tmp_path: Path) -> None:
    picture = clip(tmp_path / "keyframe.png", form="png")
    path = unsigned(tmp_path / "a.mp4", "h264")
    sign_file(path, clip_manifest("a.mp4", generation(), private=True, inputs=[picture]))
    data = path.read_bytes()
    for secret in (PROMPT, "Zanzibar", "pocket", str(2**62 + 1), "ab" * 32, "cd" * 32, "keyframe"):
        assert secret.encode() not in data
    verdict = verify_file(path)
    assert verdict.state == "valid"
    assert verdict.made is not None
    assert (verdict.made.source, verdict.made.generation) == ("trainedAlgorithmicMedia", None)


def test_inputs_are_ingredients_whatever_their_kind(tmp_path: Path) -> None:
    (tmp_path / "key.bmp").write_bytes(b"BM" + bytes(100))
    path = unsigned(tmp_path / "a.mp4", "h264")
    sign_file(
        path, clip_manifest("a.mp4", generation(), inputs=[tmp_path / "key.bmp", clip(tmp_path / "b.mp4")])
    )
    made = verify_file(path).made
    assert made is not None
    assert [(part.title, part.relationship) for part in made.ingredients] == [
        ("key.bmp", "inputTo"),
        ("b.mp4", "inputTo"),
    ]


def test_keys_are_readable_by_their_owner_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    old = os.umask(0)
    try:
        open_authority()
    finally:
        os.umask(old)
    folder = credentials_folder()
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in [folder, *folder.iterdir()]}
    assert modes == {
        "credentials": 0o700,
        "authority.key": 0o600,
        "authority.pem": 0o644,
        "signer.pem": 0o600,
        "lock": 0o600,
    }


@pytest.mark.parametrize("name", ["", "signer.pem", "authority.key"])
def test_keys_that_others_can_read_are_refused(tmp_path: Path, name: str) -> None:
    begun = dt.datetime.now(dt.UTC) - dt.timedelta(days=9 * 365)
    open_authority(now=begun)  # a signer that has to be renewed, so that both keys are read
    bad = credentials_folder() / name
    bad.chmod(bad.stat().st_mode | 0o040)
    path = unsigned(tmp_path / "a.mp4", "h264")
    before = path.read_bytes()
    with pytest.raises(
        CredentialsError, match=r"can be read or changed by others \(mode 0\d\d0\): chmod 0\d00 /"
    ):
        sign_file(path, clip_manifest("a.mp4", generation()))
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


@pytest.mark.parametrize("name", ["signer.pem", "authority.key", "authority.pem"])
def test_damaged_keys_are_one_line(name: str) -> None:
    open_authority(now=dt.datetime.now(dt.UTC) - dt.timedelta(days=9 * 365))
    (credentials_folder() / name).write_text("no")
    with pytest.raises(CredentialsError, match="damaged"):
        open_authority()


def test_a_link_is_no_key(tmp_path: Path) -> None:
    open_authority()
    signer = credentials_folder() / "signer.pem"
    shutil.move(signer, tmp_path / "elsewhere.pem")
    signer.symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(CredentialsError, match="is a link"):
        open_authority()


def test_a_signer_is_renewed_by_the_same_authority(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    early = open_authority(now=now - dt.timedelta(days=4 * 365))
    assert open_authority().chain == early.chain  # four of ten years
    path = unsigned(tmp_path / "a.mp4", "h264")
    sign_file(path, clip_manifest("a.mp4", generation()))
    late = open_authority(now=now + dt.timedelta(days=2 * 365))
    assert late.chain != early.chain
    assert late.root == early.root
    leaf = x509.load_pem_x509_certificate(late.chain.encode())
    assert leaf.not_valid_after_utc > now + dt.timedelta(days=11 * 365)
    assert verify_file(path).state == "valid"  # by the certificate inside it


def test_an_expired_certificate_is_told_from_a_changed_file(tmp_path: Path) -> None:
    path = unsigned(tmp_path / "a.mp4", "h264")
    left = dt.timedelta(seconds=2)
    ending = open_authority(now=dt.datetime.now(dt.UTC) - dt.timedelta(days=10 * 365) + left)
    sign_file(path, clip_manifest("a.mp4", generation()), authority=ending)
    assert verify_file(path).state == "valid"
    time.sleep(3.2)  # certificates end at whole seconds
    assert verify_file(path).state == "expired"
    again = sign_file(path, clip_manifest("a.mp4", generation()))
    assert isinstance(again, Signed)
    assert verify_file(path).state == "valid"


def test_two_first_users_make_one_authority() -> None:
    program = (
        "from filmwright.provenance.authority import open_authority; print(hash(open_authority().chain))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    running = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    said = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(said) == 1


def test_what_cannot_be_signed_is_one_line_and_stays_as_it_is(tmp_path: Path) -> None:
    open_authority()
    for name, said in (
        ("a.mkv", "cannot carry"),
        ("a.exr", "cannot carry"),
        ("none.mp4", "no such file"),
        ("a.mp4", "cannot sign"),
    ):
        path = tmp_path / name
        if name != "none.mp4":
            path.write_bytes(b"not a film")
        with pytest.raises(CredentialsError, match=said) as raised:
            sign_file(path, clip_manifest(name, generation()))
        assert "\n" not in str(raised.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.exr", "a.mkv", "a.mp4"]
    with pytest.raises(CredentialsError, match="no such file"):
        verify_file(tmp_path / "none.mp4")


def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FILMWRIGHT_HOME", str(tmp_path / "file"))
    with pytest.raises(CredentialsError, match="--no-sign"):
        open_authority()


def test_media_of_many_megabytes_is_signed_without_being_held(tmp_path: Path) -> None:
    """Ten times the film needs no more memory, also where a film of two media boxes comes from elsewhere."""
    program = """
import resource, sys
from pathlib import Path
from filmwright.provenance.manifest import derived_manifest
from filmwright.provenance.signing import sign_file
from filmwright.provenance.verdict import verify_file
path = Path(sys.argv[1])
sign_file(path, derived_manifest(path.name, path.with_name("small.mov")))
assert verify_file(path).state == "valid"
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    small = unsigned(tmp_path / "small.mov", "prores-422-hq")
    data = bytearray(small.read_bytes())
    media = next(box for box in boxes_of(data) if box.path == "mdat")
    peaks = []
    for megabytes in (6, 120):
        path = tmp_path / f"{megabytes}.mov"
        with path.open("wb") as file:  # the same film with a longer media box
            file.write(data[: media.start])
            file.write((media.end - media.start + megabytes * 1_000_000).to_bytes(4, "big") + b"mdat")
            file.write(data[media.content : media.end])
            for i in range(megabytes):
                file.write(bytes([i]) * 1_000_000)
        words = [sys.executable, "-c", program, str(path)]
        peaks.append(float(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
        path.unlink()
    assert peaks[1] - peaks[0] < 40, f"{peaks[0]:.0f} MB and {peaks[1]:.0f} MB"
    with small.open("ab") as file:
        file.write((1008).to_bytes(4, "big") + b"mdat" + bytes(1000))
    sign_file(small, clip_manifest("small.mov", generation()))
    assert verify_file(small).state == "valid"


@pytest.mark.parametrize("what", ["sign", "verify"])
def test_an_interrupt_is_neither_lost_nor_taken_for_the_end_of_the_file(tmp_path: Path, what: str) -> None:
    small = clip(tmp_path / "small.mov", form="prores-422-hq")
    path = tmp_path / "long.mov"
    data = unsigned(tmp_path / "plain.mov", "prores-422-hq").read_bytes()
    media = next(box for box in boxes_of(data) if box.path == "mdat")
    size = 200_000_000
    with path.open("wb") as file:
        file.write(data[: media.start] + (media.end - media.start + size).to_bytes(4, "big") + b"mdat")
        file.write(data[media.content : media.end])
        file.truncate(file.tell() + size)
    manifest = derived_manifest("long.mov", small)
    if what == "verify":
        sign_file(path, manifest)
    whole = path.stat().st_size

    def work() -> None:
        for _ in range(100):  # so that it comes while the library works, on any machine
            if what == "verify":
                assert verify_file(path).state == "valid"
            else:
                sign_file(path, manifest)

    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        work()
    assert path.stat().st_size >= whole
    assert verify_file(path).state in {"valid", "stripped"}  # stripped is how the test's file began
    assert sorted(p.name for p in tmp_path.iterdir()) == ["long.mov", "plain.mov", "small.mov"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    path.unlink()
