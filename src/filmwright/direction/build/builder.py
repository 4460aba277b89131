"""The build of a film: what is not in the store is made, in order, and the deliverables are put in their places.

Where nothing is to be made, nothing heavy is loaded and nothing is written. Several builds at once share the work:
each takes a result that no other makes, and waits for those that others make.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filmwright.direction.build.clock import BuildClock, Work, work_of_cut, work_of_post, work_of_request
from filmwright.direction.build.events import Counted, Made, Making, OnBuildEvent, Told, Waiting
from filmwright.direction.build.graph import (
    Result,
    Step,
    Take,
    deliverable,
    name_of,
    rendered,
    steps_of,
    take_of,
    takes_of,
)
from filmwright.direction.build.places import check_place, is_delivered, outputs_in, put_in_place
from filmwright.direction.build.seal import Seal, post_seal, seal_of, titled
from filmwright.direction.build.store import DamagedBlob, Store
from filmwright.direction.film.drafts import Draft
from filmwright.direction.film.opened import OpenFilm
from filmwright.direction.film.outputs import Output
from filmwright.spec.cut import Cut
from filmwright.spec.errors import BadRequest, Cancelled, FilmwrightError, MediaError
from filmwright.spec.events import Event, Progress, Started, Warned
from filmwright.spec.request import Request

__all__ = ["Built", "build", "needs_as", "wanted"]

PAUSE = 0.2  # seconds between looks at what other builds make


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a build did, by node name, and the files that it delivered."""

    made: tuple[str, ...]
    kept: tuple[str, ...]
    files: tuple[Path, ...]
    cut: Cut


def wanted(film: OpenFilm, only: str | None = None, *, all_takes: bool = False) -> tuple[Draft, ...]:
    """The takes that a build renders, in order: of all shots, or of one and those that it starts from.

    Of a shot whose take is selected only this one, unless `all_takes`.

    Raises:
        BadRequest: there is no such shot.
    """
    shots = {draft.shot for draft in film.drafts}
    if only is None:
        return tuple(draft for draft in film.drafts if draft.wanted or all_takes)
    if only not in shots:
        raise BadRequest(
            f"there is no shot {only!r}: there is {', '.join(shot.id for shot in film.film.shots)}"
        )
    selected = film.selected()
    needed, waiting = set(), [only]
    while waiting:
        shot = waiting.pop()
        needed.add(shot)
        waiting += [need.shot for need in selected[shot].needs if need.shot not in needed]
    return tuple(
        draft
        for draft in film.drafts
        if (draft.shot == only and (draft.wanted or all_takes)) or (draft.shot in needed and draft.selected)
    )


def needs_as(request: Request) -> tuple[Request, tuple[str, ...]]:
    """What all requests share that need the same memory and time: without words, seed and pictures; and the kinds of
    its controls.
    """
    alike = request.model_copy(update={"prompt": "", "negative": "", "seed": 0, "controls": ()})
    return alike, tuple(control.kind for control in request.controls)


def build(
    film: OpenFilm,
    *,
    store: Store | None = None,
    only: str | None = None,
    all_takes: bool = False,
    device: str | None = None,
    memory: int | None = None,
    sign: bool = True,
    private: bool = False,
    on_event: OnBuildEvent | None = None,
) -> Built:
    """Builds a film, or with `only` the takes of one shot and what it starts from, without deliverables.

    Deliverables are signed with content credentials, unless `sign` is false; `private` ones, or those of a film that
    says so, do not hold words, models, seeds and shots. Clips in the store always hold them.

    Raises:
        CredentialsError: the signing keys are unsafe or cannot be written.
        BadRequest: no such shot, a device that is not there, or gc at work.
        DoesNotFit: a shot needs more memory than there is, or than `memory` in bytes; nothing was rendered.
        Cancelled: the user stopped it; all that is finished is kept.
        MediaError: the store or a deliverable cannot be written.
        WeightsError: a model's weights are missing or damaged.
    """
    store = store or Store()
    tell: OnBuildEvent = on_event or (lambda _: None)
    run = _Build(film, store, tell, device, memory, seal_of(film, sign=sign, private=private))
    takes = takes_of(film, store)
    chosen = [takes[name_of(draft)] for draft in wanted(film, only, all_takes=all_takes)]
    missing = [take for take in chosen if take.node is None]
    outputs = () if only is not None else film.outputs
    steps = [step for take in run.to_post(chosen, only) for step in steps_of(take, film, store)]
    if not missing and all(step.node for step in steps):
        cut = run.cut(takes)
        results = [(output, deliverable(film, cut, output, store, run.seal)) for output in outputs]
        if all(is_delivered(result.node, output, store) for output, result in results):
            tell(Counted(to_make=0, kept=len(chosen) + len(steps) + len(results)))
            everything: list[Result] = [*chosen, *steps, *(result for _, result in results)]
            store.note_use([result.node for result in everything if result.node])
            run.remember(everything)
            return Built(
                made=(),
                kept=tuple(result.name for result in everything),
                files=tuple(output.path for output in outputs),
                cut=cut,
            )
    for output in outputs:
        check_place(output)
    damaged: set[Path] = set()
    with store.in_use():
        while True:
            try:
                return run.all(takes, [take.draft for take in chosen], outputs, only)
            except DamagedBlob as error:
                if error.path in damaged:
                    raise MediaError(
                        f"{error.path} is damaged as soon as it is written: check the disk of the store"
                    ) from error
                damaged.add(error.path)
                store.drop(error.path)  # what it belongs to is found no more
                tell(Told(name="store", code="damaged", message=f"{error.path} is damaged and made anew"))
                takes = takes_of(film, store)
            except (KeyboardInterrupt, Cancelled) as error:
                raise Cancelled(
                    "cancelled; what is finished is kept, and the same command goes on from there"
                ) from error


class _Build:
    """One build at work."""

    def __init__(
        self,
        film: OpenFilm,
        store: Store,
        tell: OnBuildEvent,
        device: str | None,
        memory: int | None,
        seal: Seal,
    ) -> None:
        self.film, self.store, self.tell, self.seal = film, store, tell, seal
        self.device, self.memory = device, memory
        self.made: list[str] = []

    def cut(self, takes: dict[str, Take]) -> Cut:
        """The edit, of what is rendered."""
        selected = self.film.selected()
        return self.film.cut(
            {shot: rendered(takes[name_of(draft)], self.film, self.store) for shot, draft in selected.items()}
        )

    def to_post(self, takes: list[Take], only: str | None) -> list[Take]:
        """Those of them whose post a build makes: the selected ones, or that of one shot."""
        return [take for take in takes if take.draft.selected and only in {None, take.draft.shot}]

    def all(
        self, takes: dict[str, Take], drafts: list[Draft], outputs: tuple[Output, ...], only: str | None
    ) -> Built:
        """Renders, posts, conforms, delivers."""
        pending = [draft for draft in drafts if takes[name_of(draft)].node is None]
        works: dict[str, Work] = {name_of(draft): work_of_request(draft.request) for draft in pending}
        posting = [name_of(take.draft) for take in self.to_post([takes[name_of(d)] for d in drafts], only)]
        there = 0
        for step in (step for name in posting for step in steps_of(takes[name], self.film, self.store)):
            if step.node is None:
                works[step.name] = work_of_post(step.stage.name, step.shape)
            there += 1
        planned = self.cut(takes)
        for output in outputs:
            result = deliverable(self.film, planned, output, self.store, self.seal)
            if result.node is None:
                works[result.name] = work_of_cut(output, planned.num_frames)
                self._check_seal(result.name, output)
        self.count = len(works)
        self.clock = BuildClock(works, self.store, self.tell)
        self.tell(Counted(to_make=self.count, kept=len(drafts) + there + len(outputs) - self.count))
        if pending:
            self._plan(pending)
        self._render(takes, pending)
        steps = [step for name in posting for step in self._post(takes[name])]
        cut = self.cut(takes)
        results = [self._deliver(cut, output) for output in outputs]
        everything: list[Result] = [*(takes[name_of(draft)] for draft in drafts), *steps, *results]
        self.store.note_use([result.node for result in everything if result.node])
        self.remember(everything)
        return Built(
            made=tuple(self.made),
            kept=tuple(result.name for result in everything if result.name not in self.made),
            files=tuple(output.path for output in outputs),
            cut=cut,
        )

    def remember(self, results: list[Result]) -> None:
        """The film's nodes, beside those that it had and this build did not look at."""
        before = self.store.read_film(self.film.path)
        names = {name_of(draft) for draft in self.film.drafts}
        kept = {
            name: key
            for name, key in before.items()
            if name.partition(" ")[0] in names or name.startswith("->")
        }
        now = {result.name: result.key for result in results if result.key is not None}
        if {**kept, **now} != before:
            self.store.write_film(self.film.path, {**kept, **now})

    def _plan(self, pending: list[Draft]) -> None:
        """A shot that does not fit is said before the first one is rendered."""
        from filmwright.engine.devices import pick_device
        from filmwright.engine.plan import plan_for

        self.device = pick_device(self.device)
        seen = set()
        for draft in pending:
            request = draft.request
            if (alike := needs_as(request)) in seen:
                continue
            seen.add(alike)
            try:
                plan = plan_for(request, device=self.device, budget=self.memory)
            except FilmwrightError as error:
                raise type(error)(f"shot {draft.shot}: {error}") from error
            if plan.seconds is not None:
                self.clock.expect(work_of_request(request), plan.seconds)

    def _render(self, takes: dict[str, Take], pending: list[Draft]) -> None:
        """All takes that are not there, each as soon as what it starts from is."""
        waiting = list(pending)
        told = False
        while waiting:
            for draft in waiting:
                name = name_of(draft)
                take = takes[name] = take_of(draft, self.film, takes, self.store)
                if take.key is None:
                    continue
                if take.node is None and not self._make(take, partial(self._render_one, take)):
                    continue
                if name not in self.made:
                    self._shared(name)
                takes[name] = take_of(draft, self.film, takes, self.store)
                waiting.remove(draft)
                told = False
                break
            else:
                if not told:
                    self.tell(Waiting(name=name_of(waiting[0])))
                    told = True
                time.sleep(PAUSE)

    def _make(self, result: Result, work: Callable[[Path], None]) -> bool:
        """Makes a result alone; False while another build makes it."""
        assert result.key is not None
        with self.store.making(result.key) as folder:
            if folder is None:
                return False
            if self.store.find(result.key) is None:
                self.tell(Making(name=result.name, index=len(self.clock.done) + 1, count=self.count))
                self.clock.start(result.name)
                began = time.monotonic()
                work(folder)
                self.made.append(result.name)
                self.tell(Made(name=result.name, seconds=time.monotonic() - began))
        return True

    def _render_one(self, take: Take, work: Path) -> None:
        from filmwright.direction.build.render import render

        assert take.request is not None
        assert take.key is not None
        assert self.device is not None
        for frame, (clip, _) in take.clips.items():
            self.store.proved(Path(frame))
            self.store.proved(clip)
        stage = "load"

        def follow(event: Event) -> None:
            nonlocal stage
            match event:
                case Started(stage=began):
                    stage = began
                    self.clock.step(take.name, stage, 0, 1)
                case Progress(done=done, total=total):
                    self.clock.step(take.name, stage, done, total)
                case Warned(code=code, message=message):
                    self.tell(Told(name=take.name, code=code, message=message))

        try:
            done = render(
                take.request,
                work,
                device=self.device,
                memory=self.memory,
                on_event=follow,
                clips=take.clips,
            )
        except Cancelled:
            raise
        except FilmwrightError as error:
            raise type(error)(f"shot {take.draft.shot}: {error}") from error
        self.store.put(take.key, "render", take.inputs, done.files, done.seconds, done.facts)
        self.clock.end(take.name, done.working)

    def _shared(self, name: str) -> None:
        self.clock.end(name, None)
        self.tell(Made(name=name, seconds=0.0, shared=True))

    def _post(self, take: Take) -> list[Step]:
        """All stages of a take's post that are not there, one after the other."""
        index, told = 0, False
        while index < len(steps := steps_of(take, self.film, self.store)):
            step = steps[index]
            if step.node is not None:
                index, told = index + 1, False
            elif not self._make(step, partial(self._post_one, step)):
                if not told:
                    self.tell(Waiting(name=step.name))
                    told = True
                time.sleep(PAUSE)
        return list(steps)

    def _post_one(self, step: Step, work: Path) -> None:
        from filmwright.direction.build.finish import finish

        assert step.key is not None
        assert step.source is not None
        assert step.parent is not None
        for path in (step.source, step.parent):
            self.store.proved(path)
        total = step.stage.shaped(step.shape).num_frames
        began = time.monotonic()
        files = finish(
            step.stage,
            step.source,
            step.shape,
            work,
            lambda done: self.clock.step(step.name, step.stage.name, done, total),
            post_seal(step.stage, step.parent, step.parent_title),
        )
        seconds = time.monotonic() - began
        self.store.put(step.key, f"post.{step.stage.name}", step.inputs, files, seconds)
        self.clock.end(step.name, seconds)

    def _deliver(self, cut: Cut, output: Output) -> Result:
        """Makes a deliverable, if it is not there, and puts it in its place."""
        told = False
        while True:
            result = deliverable(self.film, cut, output, self.store, self.seal)
            if result.node is not None:
                break
            if not self._make(result, partial(self._conform, cut, output, result)):
                if not told:
                    self.tell(Waiting(name=result.name))
                    told = True
                time.sleep(PAUSE)
        if not is_delivered(result.node, output, self.store):
            put_in_place(result.node, output, self.store)
        return result

    def _check_seal(self, name: str, output: Output) -> None:
        """Keys that cannot be used are said before work begins, and so is what will not be signed.

        Raises:
            CredentialsError: the keys are unsafe or cannot be written.
        """
        if self.seal.signs(output):
            from filmwright.provenance.authority import open_authority

            open_authority()
        elif self.seal.sign:
            from filmwright.provenance.signing import can_sign

            why = f"{output.suffix} files cannot carry content credentials"
            if not can_sign():
                why = "c2pa-python is not installed; pip install c2pa-python"
            self.tell(Told(name=name, code="unsigned", message=f"NOT SIGNED: {why}"))

    def _conform(self, cut: Cut, output: Output, result: Result, work: Path) -> None:
        from filmwright.direction.build.assemble import assemble

        assert result.key is not None
        target = work / ("film" if output.kind == "pictures" else f"film{output.suffix}")
        if target.is_dir():
            shutil.rmtree(target)  # of a build that died
        for path in self.seal.reads(cut, output):
            self.store.proved(path)
        total = output.num_frames(cut)
        began = time.monotonic()
        made = assemble(
            cut,
            output,
            target,
            self.store,
            lambda done: self.clock.step(result.name, "cut", done, total),
            self.seal.comment(output),
        )
        for name in self.seal.put_on(target, cut, output, made.frame):
            self._doubt(name, cut, result)
        for note in made.notes:
            self.tell(Told(name=result.name, code="delivery", message=note))
        self.store.note_use(made.parts)
        seconds = time.monotonic() - began
        self.store.put(result.key, "cut", result.inputs, outputs_in(target, output), seconds)
        self.clock.end(result.name, seconds)

    def _doubt(self, name: str, cut: Cut, result: Result) -> None:
        """What went into a deliverable and was not as its own credentials say: a take is damaged, a sound is told.

        Raises:
            DamagedBlob: it is a take's clip.
        """
        for event in cut.events:
            if titled(event.source) == name and event.source.clip is not None:
                raise DamagedBlob(event.source.clip)
        message = f"{name} was changed since it was signed; the film's credentials say so"
        self.tell(Told(name=result.name, code="tampered", message=message))
