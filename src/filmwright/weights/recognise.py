"""Which model a folder holds: by the class of its pipeline, then by its family's own rules."""

from __future__ import annotations

from pathlib import Path

from filmwright.spec.errors import WeightsError, listed
from filmwright.weights.diffusers_folder import PIPELINES, family_names
from filmwright.weights.saved import read_object
from filmwright.weights.wan_folder import wan_names

__all__ = ["model_names"]

WAN_PIPELINES = (
    "WanPipeline",
    "WanImageToVideoPipeline",
    "WanDMDPipeline",
    "WanCausalDMDPipeline",
)  # and FastVideo's


def model_names(folder: Path, *, any_size: bool = False) -> tuple[str, ...]:
    """The models that a folder may be; several where their nets are the same.

    Raises:
        WeightsError: it is none that is known; the message says what was found.
    """
    index = read_object(folder / "model_index.json")
    pipeline = index.get("_class_name")
    if pipeline in PIPELINES:
        return family_names(folder, any_size=any_size)
    if pipeline in WAN_PIPELINES:
        return wan_names(folder, any_size=any_size)
    parts = [f"{k} {v[-1]}" for k, v in index.items() if isinstance(v, list)]
    raise WeightsError(
        f"{folder} is a {pipeline or 'folder without a pipeline class'} ({listed(parts) or 'no parts'}): known are "
        f"{listed([*WAN_PIPELINES, *PIPELINES], 20)}"
    )
