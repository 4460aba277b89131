"""Shapes as types, so that frames and latent frames can never be swapped by mistake."""

from __future__ import annotations

from dataclasses import dataclass

from filmwright.spec.errors import BadRequest

__all__ = ["SPATIAL_FACTOR", "TEMPORAL_FACTOR", "LatentShape", "VideoShape"]

SPATIAL_FACTOR = 16  # pixels a latent cell, each way
TEMPORAL_FACTOR = 4  # frames a latent frame, after the first one


@dataclass(frozen=True, kw_only=True)
class VideoShape:
    """Width and height in pixels, frames of the form 4k+1, frames a second."""

    width: int
    height: int
    num_frames: int
    fps: int

    @property
    def seconds(self) -> float:
        """How long the clip plays."""
        return self.num_frames / self.fps

    def latent(self, channels: int) -> LatentShape:
        """The shape of the latents that a 16x16x4 causal VAE makes of this.

        Raises:
            BadRequest: frames are not 4k+1, or a side does not divide by 16.
        """
        if (self.num_frames - 1) % TEMPORAL_FACTOR:
            low = (self.num_frames - 1) // TEMPORAL_FACTOR * TEMPORAL_FACTOR + 1
            raise BadRequest(
                f"{self.num_frames} frames cannot be encoded: frames must be 4k+1, the nearest are "
                f"{max(low, 1)} and {low + TEMPORAL_FACTOR}"
            )
        if self.width % SPATIAL_FACTOR or self.height % SPATIAL_FACTOR:
            raise BadRequest(
                f"{self.width}x{self.height} cannot be encoded: both sides must divide by {SPATIAL_FACTOR}"
            )
        return LatentShape(
            channels=channels,
            num_frames=(self.num_frames - 1) // TEMPORAL_FACTOR + 1,
            height=self.height // SPATIAL_FACTOR,
            width=self.width // SPATIAL_FACTOR,
        )


@dataclass(frozen=True, kw_only=True)
class LatentShape:
    """Channels, latent frames, and rows and columns of latent cells."""

    channels: int
    num_frames: int
    height: int
    width: int
