"""Every combination that there is: which are refused, and that each refusal says what to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest

from filmwright.spec.backends import ATTENTION_BACKENDS, NEEDS
from filmwright.spec.compositions import FP8_CAPABILITY, Composition, check_together, refusal
from filmwright.spec.errors import BadRequest
from filmwright.spec.request import QUANTIZE

BACKENDS = (*((name, True) for name in ATTENTION_BACKENDS), ("flash2", False))
PLACES = (("cpu", None), ("cuda", (8, 0)), ("cuda", FP8_CAPABILITY), ("cuda", (12, 0)))


def everything() -> list[Composition]:
    return [
        Composition(
            family=family,
            device=place[0],
            capability=place[1],
            nets=nets,
            quantize=mode,
            cache=cache,
            compiled=compiled,
            compiler=compiler,
            cuda_graphs=graphs,
            lora=lora,
            merged=merged,
            sharing=sharing,
            attention=backend[0],
            installed=backend[1],
        )
        for family, place, nets, mode, cache, compiled, compiler, graphs, lora, merged, sharing, backend in product(
            ("wan", "pocket"),
            PLACES,
            ("held", "staged", "streamed"),
            QUANTIZE,
            (False, True),
            (False, True),
            (False, True),
            (False, True),
            ("none", "low rank", "whole"),
            (False, True),
            (1, 2),
            BACKENDS,
        )
    ]


def refused(run: Composition) -> bool:
    """The table, in the words of the documentation."""
    return (
        (
            run.family == "pocket"
            and (
                run.quantize != "none"
                or run.compiled
                or run.cache
                or run.cuda_graphs
                or run.merged
                or run.attention != "auto"
            )
        )
        or not run.installed
        or (run.attention in ("flash2", "flash3", "sage") and run.device == "cpu")
        or (run.attention == "blocks" and run.device == "cuda")
        or (run.attention == "flex" and (run.compiled or not run.compiler))
        or (run.quantize == "fp8-dynamic" and (run.capability is None or run.capability < FP8_CAPABILITY))
        or (run.compiled and not run.compiler)
        or (run.sharing > 1 and (run.compiled or run.cuda_graphs))
        or (run.cuda_graphs and (run.device == "cpu" or run.cache or run.nets == "streamed"))
        or (run.merged and (run.nets == "streamed" or run.quantize != "none"))
        or (run.lora == "whole" and (run.nets == "streamed" or run.quantize != "none"))
    )


def test_what_is_refused_is_what_the_table_says_and_says_the_remedy() -> None:
    counts: Counter[bool] = Counter()
    for run in everything():
        reason = refusal(run)
        counts[reason is not None] += 1
        assert (reason is not None) == refused(run), (run, reason)
        if reason is not None:
            assert "\n" not in reason
            assert any(word in reason for word in ("leave", "take fp8", "do", "quick", "install it")), reason
    assert set(counts) == {True, False}
    assert counts.total() == 2 * 4 * 3 * 5 * 16 * 3 * 2 * 2 * 8


def test_what_is_not_known_yet_refuses_nothing() -> None:
    assert refusal(Composition(quantize="fp8-dynamic")) is None
    assert refusal(Composition(quantize="fp8-dynamic", compiled=True, cache=True)) is None
    assert refusal(Composition(cuda_graphs=True, compiled=True)) is None


def test_a_backend_that_is_not_here_is_refused_with_what_to_install() -> None:
    for name in ("flash2", "flash3", "sage"):
        reason = refusal(Composition(attention=name, installed=False, device="cpu"))
        assert f"--attention {name} is not installed: {NEEDS[name].install}" in (reason or "")
        assert refusal(Composition(attention=name)) is None


def test_fp8_sums_name_the_gpu_that_they_need_and_the_one_that_is_there() -> None:
    on_gpu = Composition(quantize="fp8-dynamic", device="cuda", capability=(8, 6))
    with pytest.raises(BadRequest, match=r"8\.9 or higher.*capability 8\.6"):
        check_together(on_gpu)
    with pytest.raises(BadRequest, match="this is a CPU"):
        check_together(replace(on_gpu, device="cpu", capability=None))
