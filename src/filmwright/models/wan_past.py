"""What Wan keeps of a clip's past where it is denoised chunk by chunk: a ring of each layer's keys and values.

A chunk of latent frames writes its keys and values into its own place of the ring and attends to every place that is
filled. A later pass over the same chunk writes them anew, so the noisy passes leave nothing behind: what the chunks
after it see is what its last pass wrote, which the caller makes at level 0. Keys carry their rotation, of the frame's
place in the whole clip, so that the order of the ring does not matter. Where the ring is full, the oldest chunk that is
no sink gives up its place: memory does not grow with the clip.

Self Forcing (Huang et al. 2025); its code calls the length of the ring `local_attn_size` and the sinks, which are the
clip's first frames, `sink_size` (StreamingLLM, Xiao et al. 2023).

Axes: b batch, g heads, n tokens of a chunk, e features a head.
"""

from __future__ import annotations

from torch import Tensor

from filmwright.models.wan import Attend

__all__ = ["WanPast"]


class WanPast:
    """The past of one clip, for the passes of one kind; the caller owns it. See `models.wan.Past`."""

    def __init__(self, *, chunk: int, num_frames: int, window: int | None = None, sink: int = 0) -> None:
        """All in latent frames.

        Args:
            chunk: that are denoised together.
            num_frames: of the clip.
            window: that a chunk sees, with itself and the sinks; None: the whole clip.
            sink: first ones that are always seen.

        Raises:
            ValueError: one of them is no whole number of chunks, or the window has no room beside the sinks.
        """
        window = num_frames if window is None else min(window, num_frames)
        sink = min(sink, num_frames)
        if chunk < 1 or any(n % chunk for n in (num_frames, window, sink)):
            raise ValueError(
                f"{num_frames} latent frames, a window of {window} and a sink of {sink} must be whole chunks of {chunk}"
            )
        if window < num_frames and sink >= window:
            raise ValueError(f"a window of {window} latent frames has no room beside a sink of {sink}")
        self.chunk, self.places, self.sinks = chunk, window // chunk, sink // chunk
        self.done = 0  # chunks behind this one
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}  # layer -> keys and values [b, g, places*n, e]

    @property
    def start(self) -> int:
        """Latent frames before the chunk."""
        return self.done * self.chunk

    def advance(self) -> None:
        """The next pass is over the next chunk; what the last one wrote is what is seen of this one."""
        self.done += 1

    def attend(self, layer: int, attend: Attend) -> Attend:
        """`attend` of a chunk over what is kept of a layer and over itself; its keys and values are kept."""
        place = self.done
        if place >= self.places:
            place = self.sinks + (self.done - self.sinks) % (self.places - self.sinks)
        filled = min(self.done + 1, self.places)

        def over_past(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            n = k.shape[2]
            if layer not in self.kept:
                shape = (*k.shape[:2], self.places * n, k.shape[3])
                self.kept[layer] = (k.new_empty(shape), v.new_empty(shape))
            keys, values = self.kept[layer]
            keys[:, :, place * n : (place + 1) * n] = k
            values[:, :, place * n : (place + 1) * n] = v
            return attend(q, keys[:, :, : filled * n], values[:, :, : filled * n])

        return over_past
