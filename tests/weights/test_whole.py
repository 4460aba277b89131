"""A set of weights is seen to be whole without a tensor library, and its files are hashed once."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from filmwright.spec.errors import WeightsError
from filmwright.weights.backbone import load_backbone, read_manifest
from filmwright.weights.files import load_net, shipped
from filmwright.weights.whole import NETS, check_hash, check_set


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped(), tmp_path / "mine"))


def test_what_was_checked_is_not_hashed_again_until_it_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        hashed.append(Path(file.name).stem)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    check_set(folder)
    load_backbone(folder)
    assert hashed == list(NETS)
    content = bytearray((folder / "vae.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "vae.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"vae.safetensors has SHA-256"):
        check_set(folder)
    assert hashed == [*NETS, "vae"]


def test_the_remedy_is_for_whose_file_it_is(folder: Path) -> None:
    for path, remedy in (
        (folder / "eye.safetensors", "restore it"),
        (shipped() / "eye.safetensors", "install"),
    ):
        with pytest.raises(WeightsError, match=f"eye.safetensors is missing: {remedy}"):
            load_net(None, path)  # type: ignore[arg-type]
        with pytest.raises(WeightsError, match=f"is missing: {remedy}"):
            check_hash(path, "0" * 64)
    with pytest.raises(
        WeightsError, match=r"has SHA-256 .* it is damaged or was changed; install filmwright anew"
    ):
        check_hash(shipped() / "vae.safetensors", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read (it is not JSON)"),
        ("[]", "does not say 'size'"),
        ("{}", "does not say 'size'"),
        ('{"size": "lite"}', "does not say 'sha256'"),
        ('{"size": "huge", "sha256": {}}', "unknown size 'huge'"),
    ],
)
def test_a_manifest_that_names_nothing_says_so(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "weights.json").write_text(text)
    with pytest.raises(WeightsError) as caught:
        read_manifest(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
