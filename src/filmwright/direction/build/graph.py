"""The graph of a film: what each take and each deliverable depends on, and which of them are there. No tensor library.

A node's key is the hash of its stage's version, the engine's, the weights' hashes, the request's digest, which counts
pictures and clips by their bytes, and for a deliverable the cut with the digests of all files in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filmwright.direction.build.seal import Seal
from filmwright.direction.build.store import DamagedBlob, Node, Store, key_of
from filmwright.direction.film.drafts import Draft, Need, completed
from filmwright.direction.film.opened import OpenFilm, source_of
from filmwright.direction.film.outputs import POSTER, Output
from filmwright.direction.film.posting import posted, shape_of
from filmwright.spec.cut import Cut, Source
from filmwright.spec.errors import FilmwrightError
from filmwright.spec.post import PostShape, PostStage
from filmwright.spec.request import ImageRef, Request
from filmwright.weights.card import load_card
from filmwright.weights.hashes import hashes_of

__all__ = [
    "PIXELS",
    "Result",
    "Step",
    "Take",
    "deliverable",
    "differences",
    "name_of",
    "readable",
    "rendered",
    "steps_of",
    "take_of",
    "takes_of",
]

PIXELS = {"wan": 2}  # of a family, 1 if not named: raised when the engine makes other frames of a request
RENDER_VERSION = 1  # raised when the outputs of a rendered take become others
CUT_VERSION = 2  # raised when the same cut becomes other frames or sound


@dataclass(frozen=True, kw_only=True)
class Result:
    """A node as it should be, and as it is in the store, if it is there."""

    name: str
    key: str | None  # None while it waits for another shot's frame
    inputs: dict[str, Any]
    node: Node | None


@dataclass(frozen=True, kw_only=True)
class Take(Result):
    """A take; `request` is whole once all that it needs is rendered."""

    draft: Draft
    request: Request | None
    waits_for: tuple[str, ...] = ()  # shots
    clips: Mapping[str, tuple[Path, str]] = field(default_factory=dict)  # of the frames that it starts from


@dataclass(frozen=True, kw_only=True)
class Step(Result):
    """A stage of post on a selected take, or on the step before it, whose frames are `source` and clip is `parent`."""

    draft: Draft
    stage: PostStage
    shape: PostShape  # of what comes in
    source: Path | None  # None while that is not made
    parent: Path | None
    parent_title: str


def name_of(draft: Draft) -> str:
    """A take's name among nodes."""
    return f"{draft.shot}#{draft.take}"


def takes_of(film: OpenFilm, store: Store, *, thorough: bool = False) -> dict[str, Take]:
    """All takes by node name, those first that others start from."""
    while True:
        takes: dict[str, Take] = {}
        try:
            for draft in film.drafts:
                takes[name_of(draft)] = take_of(draft, film, takes, store, thorough=thorough)
        except DamagedBlob:
            continue  # the take that it is of is found no more
        return takes


def take_of(
    draft: Draft, film: OpenFilm, takes: Mapping[str, Take], store: Store, *, thorough: bool = False
) -> Take:
    """One take, given those that it starts from.

    Raises:
        BadRequest: the model cannot do it.
        DamagedBlob: what it starts from is not what it was.
        WeightsError: the model's weights are not here.
    """
    selected = film.selected()
    sources = {need.shot: takes[name_of(selected[need.shot])].node for need in draft.needs}
    waits_for = tuple(dict.fromkeys(shot for shot, node in sources.items() if node is None))
    if waits_for:
        return Take(
            name=name_of(draft),
            key=None,
            inputs={},
            node=None,
            draft=draft,
            request=None,
            waits_for=waits_for,
        )

    clips: dict[str, tuple[Path, str]] = {}

    def found(need: Need) -> ImageRef:
        node = sources[need.shot]
        assert node is not None
        blob = node.outputs["frames" if need.what == "prefix" else "last"]
        path = str(store.blob_path(blob))
        clips[path] = store.blob_path(node.outputs["clip"]), f"{need.shot}, take {selected[need.shot].take}"
        return ImageRef(path=path, digest=blob.digest)

    try:
        request = completed(draft, found)
    except FilmwrightError as error:
        for given in clips:
            store.proved(Path(given))
        raise type(error)(f"shot {draft.shot}: {error}") from error
    weights = hashes_of(request.model)
    decides = {
        "stage": "render",
        "version": RENDER_VERSION,
        "pixels": PIXELS.get(load_card(request.model).family, 1),
        "weights": weights,
        "request": request.digest(),
    }
    key = key_of(decides)
    return Take(
        name=name_of(draft),
        key=key,
        inputs={**decides, "request": readable(request)},
        node=store.find(key, thorough=thorough),
        draft=draft,
        request=request,
        clips=clips,
    )


def steps_of(take: Take, film: OpenFilm, store: Store, *, thorough: bool = False) -> tuple[Step, ...]:
    """The post of a take, in order; a step whose input is not made has no key."""
    steps: list[Step] = []
    node, shape, before = take.node, shape_of(source_of(take.draft)), "as it was rendered"
    names: dict[str, int] = {}
    for stage in film.post.get(take.draft.shot, ()):
        count = names[stage.name] = names.get(stage.name, 0) + 1
        inputs: dict[str, Any] = {}
        key = source = parent = None
        if node is not None:
            assert take.request is not None
            blob = node.outputs["frames"]
            inputs = {
                "stage": f"post.{stage.name}",
                "version": stage.version,
                "parameters": stage.decides(),
                "fps": str(shape.fps),
                "input": blob.digest,
                "take": take.request.digest(),  # its clip's credentials tell the words, whatever they changed
            }
            key, source, parent = key_of(inputs), store.blob_path(blob), store.blob_path(node.outputs["clip"])
        node = store.find(key, thorough=thorough) if key else None
        steps.append(
            Step(
                name=f"{take.name} {stage.name}" + (f" {count}" if count > 1 else ""),
                key=key,
                inputs=inputs,
                node=node,
                draft=take.draft,
                stage=stage,
                shape=shape,
                source=source,
                parent=parent,
                parent_title=before,
            )
        )
        shape, before = stage.shaped(shape), f"after {stage.name}"
    return tuple(steps)


def rendered(take: Take, film: OpenFilm, store: Store) -> Source:
    """What the cut knows of a take: what its post made of it, once all of it is there."""
    source = posted(source_of(take.draft), film.post)
    steps = steps_of(take, film, store)
    node = steps[-1].node if steps else take.node
    if node is None or take.request is None:
        return source
    frames = node.outputs["frames"]
    return replace(
        source,
        prompt=take.request.prompt,
        digest=take.request.digest(),
        path=store.blob_path(frames),
        clip=store.blob_path(node.outputs["clip"]),
        blob=frames.digest,
        post=steps[-1].key if steps else None,
    )


def deliverable(
    film: OpenFilm, cut: Cut, output: Output, store: Store, seal: Seal, *, thorough: bool = False
) -> Result:
    """A deliverable of a cut; without a key while a shot in it is not rendered.

    Its key holds what its form shows of the cut, not its name or place; and of its credentials what they say, not the
    bytes of files that were signed, which are others each time.
    """
    heard = output.kind == "sound"
    everything = cut.decides()
    form: dict[str, Any] = {"format": output.format, "suffix": output.suffix, "hdr": output.hdr}
    if heard:
        everything = {"sounds": everything["sounds"], "num_frames": cut.num_frames, "fps": cut.fps}
    else:
        form |= {"width": output.width, "height": output.height}
        if output.kind != POSTER:
            form["fps"] = str(output.fps)
        if output.kind != "film":
            del everything["sounds"]
    if output.suffix == ".mov":
        form["timecode"] = cut.start_timecode
    if output.loudness is not None:
        form["loudness"] = output.loudness
    inputs = {
        "stage": "cut",
        "version": CUT_VERSION,
        "cut": everything,
        "output": form,
        "signed": seal.decides(cut, output),
    }
    whole = heard or all(event.source.blob for event in cut.events)
    key = key_of(inputs) if whole else None
    try:
        shown = output.path.relative_to(film.folder.resolve())
    except ValueError:
        shown = output.path
    node = store.find(key, thorough=thorough) if key else None
    return Result(name=f"-> {shown}", key=key, inputs=inputs, node=node)


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """(what, before, now) of all values that differ, by their dotted names; None where there is none."""
    flat_old, flat_new = dict(_flat(old, prefix)), dict(_flat(new, prefix))
    for name in {**flat_old, **flat_new}:
        if flat_old.get(name) != flat_new.get(name):
            yield name, flat_old.get(name), flat_new.get(name)


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping | list | tuple):
        for index, item in enumerate(value):
            yield from _flat(item, f"{name}.{index + 1}")
    else:
        yield name, list(value) if isinstance(value, tuple) else value


def readable(request: Request) -> dict[str, Any]:
    """A request's fields without the places of files, and its controls by kind, to be compared."""
    plain = request.model_dump(mode="json", exclude={"controls", "loras"})
    for control in request.controls:
        item = control.model_dump(mode="json", exclude={"kind": True, "image": {"path"}, "clip": {"path"}})
        name = f"{control.kind} at {item.pop('at')}" if "at" in item else control.kind
        plain[name] = item
    for index, lora in enumerate(request.loras, start=1):
        plain[f"lora {index}"] = lora.model_dump(mode="json", exclude={"path"})
    return plain
