"""The version of the world: any change that moves a pixel or a number of a clip raises it."""

from __future__ import annotations

__all__ = ["WORLD_VERSION"]

WORLD_VERSION = 1
