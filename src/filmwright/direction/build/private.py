"""A take's clip to give away without its words: the same frames, and credentials that name no prompt, model or seed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from filmwright.direction.build.store import Node, Store, key_of
from filmwright.media.joining import join_videos
from filmwright.spec.post import PostStage

__all__ = ["private_clip"]

PRIVATE_VERSION = 1  # raised when the same clip becomes other bytes, but for its signature
PAUSE = 0.1  # seconds between looks at one that another process makes


def private_clip(take: Node, name: str, fps: int, store: Store, post: Sequence[PostStage] = ()) -> Path:
    """The clip of a rendered take, or of its `post`, of `fps`, as it is given away under `name`.

    It lies in the store: a signature is other bytes each time, and an editor need not read the same file anew.

    Raises:
        BadRequest: gc is at work in the store.
        DamagedBlob: the clip is not what it was.
        CredentialsError: the keys are unsafe, or it cannot be signed.
        MediaError: the store cannot be written.
    """
    from filmwright.provenance.manifest import clip_manifest, post_changes
    from filmwright.provenance.signing import MARK, can_sign, sign_file

    clip = take.outputs["clip"]
    signs = can_sign()
    inputs = {
        "stage": "private", "version": PRIVATE_VERSION, "clip": clip.digest, "name": name, "signed": signs,
    }  # fmt: skip
    key = key_of(inputs)
    with store.in_use():
        while (node := store.find(key, thorough=True)) is None:
            with store.making(key) as work:
                if work is None:
                    time.sleep(PAUSE)
                elif store.find(key, thorough=True) is None:
                    began = time.monotonic()
                    path, source = work / "clip.mp4", store.proved(store.blob_path(clip))
                    join_videos([(source, 0)], path, fps=fps, comment=MARK if signs else None)
                    if signs:
                        sign_file(path, clip_manifest(name, None, changes=post_changes(post)))
                    store.put(key, "private", inputs, {"file": path}, time.monotonic() - began)
    return store.blob_path(node.outputs["file"])
