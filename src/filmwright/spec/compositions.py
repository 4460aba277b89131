"""What can be asked for together: strategies, quantization, caches, attention, compiled code, graphs, LoRAs, processes.

All that is not refused here works with all else, which tests hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from filmwright.spec.backends import NEEDS, AttentionBackend
from filmwright.spec.errors import BadRequest
from filmwright.spec.request import Quantize, Request

__all__ = ["AS_THEY_ARE", "FP8_CAPABILITY", "Composition", "check_together", "composition", "refusal"]

AS_THEY_ARE = ("pocket", "svd")  # families whose weights take neither eight bits nor LoRAs
FP8_CAPABILITY = (8, 9)  # of GPUs that multiply in fp8: Ada and later


@dataclass(frozen=True, kw_only=True)
class Composition:
    """A run, as far as its parts bear upon each other; what is not known yet is left at what refuses nothing."""

    model: str = "a model"
    family: str = "wan"
    device: Literal["cpu", "cuda"] | None = None
    capability: tuple[int, int] | None = None  # compute capability of the GPU
    nets: Literal["held", "staged", "streamed"] = "held"
    quantize: Quantize = "none"
    cache: bool = False
    compiled: bool = False
    compiler: bool = True  # whether there is one
    attention: AttentionBackend = "auto"
    installed: bool = True  # whether that backend is
    cuda_graphs: bool = False
    lora: Literal["none", "low rank", "whole"] = "none"  # whole: changes that have no low rank
    lora_name: str = "the LoRA"
    merged: bool = False  # LoRAs are added to the weights
    sharing: int = 1  # processes that share a pass's tokens


def composition(request: Request, family: str) -> Composition:
    """What a request alone says of its run, on a model of this family."""
    return Composition(
        model=request.model,
        family=family,
        quantize=request.quantize,
        cache=bool(request.cache),
        compiled=bool(request.compile),
        attention=request.attention,
        cuda_graphs=bool(request.cuda_graphs),
        merged=bool(request.merge_lora),
    )


def check_together(run: Composition) -> None:
    """Raises BadRequest with the reason where parts of a run cannot be together."""
    if (reason := refusal(run)) is not None:
        raise BadRequest(reason)


def refusal(run: Composition) -> str | None:
    """Why these cannot be together, and what to do, in one line; None where they can."""
    if run.quantize != "none" and run.family in AS_THEY_ARE:
        return f"model {run.model!r} takes no --quantize: all models but pocket and svd do"
    if run.family != "wan":
        if run.compiled:
            return f"model {run.model!r} takes no --compile: the models of the Wan family do"
        if run.cuda_graphs:
            return f"model {run.model!r} takes no --cuda-graphs: the models of the Wan family do"
        if run.cache:
            why = (
                "its steps are few and quick" if run.family == "pocket" else "the models of the Wan family do"
            )
            return f"model {run.model!r} takes no --cache: {why}"
        if run.merged:
            return f"model {run.model!r} takes no --merge-lora: the models of the Wan family do"
        if run.attention != "auto":
            why = "it has one exact way" if run.family == "pocket" else "the models of the Wan family do"
            return f"model {run.model!r} takes no --attention: {why}, leave it out"
    if (reason := _attention_refusal(run)) is not None:
        return reason
    if run.quantize == "fp8-dynamic" and run.device is not None:
        has = (
            "a CPU"
            if run.device == "cpu"
            else f"a GPU of compute capability {_dotted(run.capability or (0, 0))}"
        )
        if run.device == "cpu" or (run.capability or (0, 0)) < FP8_CAPABILITY:
            return (
                f"--quantize fp8-dynamic needs a GPU of compute capability {_dotted(FP8_CAPABILITY)} or higher, "
                f"and this is {has}: take fp8, which keeps weights in fp8 anywhere, or int8-dynamic"
            )
    if run.compiled and not run.compiler:
        return f"--compile needs {_compiler(run)}, which is not found: install it, or leave --compile out"
    if run.cuda_graphs and (reason := _ungraphed(run)) is not None:
        return reason
    if run.sharing > 1 and run.compiled:
        return "--compile and tokens shared by several processes do not go together: leave one out"
    if run.merged and run.nets == "streamed":
        return (
            "--merge-lora and blocks that are read as they are needed do not go together, since they come as the file "
            "has them: give the run more memory (--memory), or leave --merge-lora out"
        )
    if run.merged and run.quantize != "none":
        return (
            "--merge-lora and --quantize do not go together, since weights of eight bits cannot take a LoRA up: "
            "leave one out"
        )
    if run.lora == "whole" and run.nets == "streamed":
        return (
            f"{run.lora_name} as a whole, which cannot be while blocks are read as they are "
            "needed: give the run more memory (--memory), or leave this LoRA out"
        )
    if run.lora == "whole" and run.quantize != "none":
        return (
            f"{run.lora_name} as a whole, which weights of eight bits cannot take up: leave --quantize "
            "or this LoRA out"
        )
    return None


def _attention_refusal(run: Composition) -> str | None:
    """Why this backend of attention cannot be here."""
    name, needs = run.attention, NEEDS[run.attention]
    or_leave = "or leave --attention out"
    if not run.installed:
        where = ", on a machine with an NVIDIA GPU" if needs.device == "cuda" else ""
        return f"--attention {name} is not installed: {needs.install}{where}, {or_leave}"
    if needs.device == "cuda" and run.device == "cpu":
        return f"--attention {name} needs an NVIDIA GPU, and this is a CPU: take blocks or sdpa, {or_leave}"
    if needs.device == "cpu" and run.device == "cuda":
        return f"--attention {name} is made for CPUs, and this is a GPU: take sdpa, {or_leave}"
    if needs.compiler and not run.compiler:
        return f"--attention {name} needs {_compiler(run)}, which is not found: install it, {or_leave}"
    if needs.compiler and run.compiled:
        return (
            f"--attention {name} and --compile do not go together: attention is kept apart from the compiled "
            f"blocks, and {name} would not be compiled there; leave one out"
        )
    return None


def _compiler(run: Composition) -> str:
    return "Triton" if run.device == "cuda" else "a C++ compiler (g++ or clang++)"


def _ungraphed(run: Composition) -> str | None:
    """Why a run cannot be recorded as CUDA graphs."""
    if run.device == "cpu":
        return "--cuda-graphs needs an NVIDIA GPU, and this is a CPU: leave --cuda-graphs out"
    if run.cache:
        return "--cuda-graphs and --cache do not go together, since a graph has no choice of blocks: leave one out"
    if run.nets == "streamed":
        return (
            "--cuda-graphs and blocks that are read as they are needed do not go together, since a graph knows its "
            "weights by their place: give the run more memory (--memory), or leave --cuda-graphs out"
        )
    if run.sharing > 1:
        return "--cuda-graphs and tokens shared by several processes do not go together: leave one out"
    return None


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
