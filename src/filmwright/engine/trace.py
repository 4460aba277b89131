"""What a computation would hold in memory and how much it would multiply, found on the meta device without computing.

Inside a `Trace`, every tensor that comes into being counts until it is let go, with what the kernels take for
themselves. The weights of the nets that it is told of do not count. Under `torch.no_grad`, not in inference mode, which
hides what composite operations are made of.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import flop_registry

__all__ = ["Trace"]

aten = torch.ops.aten


class Trace(TorchDispatchMode):
    """Counts `live` and `peak` bytes and `flops`, apart for products and convolutions."""

    def __init__(self, *nets: nn.Module, device: str = "cpu") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.on_cpu = device == "cpu"
        self.live = self.peak = 0
        self.product_flops = self.convolution_flops = 0
        self._fused = _FusedAttention(self)
        self._seen: dict[int, object] = {}
        for net in nets:
            for tensor in (*net.parameters(), *net.buffers()):
                self._seen[tensor.untyped_storage()._cdata] = None  # noqa: SLF001 (there is no public identity)

    def __enter__(self) -> Self:
        self._fused.__enter__()  # type: ignore[no-untyped-call]
        return super().__enter__()  # type: ignore[no-any-return, no-untyped-call]

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._fused.__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs one operation and counts what it makes."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        for tensor in tree_flatten(out)[0]:
            if isinstance(tensor, Tensor):
                self._count(tensor)
        packet = func.overloadpacket
        if packet in flop_registry:
            flops = flop_registry[packet](*args, **kwargs, out_val=out)
            if packet is aten.convolution:
                self.convolution_flops += flops
            else:
                self.product_flops += flops
        self.peak = max(self.peak, self.live + self._scratch(packet, args, out))
        return out

    def _count(self, tensor: Tensor) -> None:
        """Begins to count a tensor's storage, unless it is another tensor's too."""
        storage = tensor.untyped_storage()
        key = storage._cdata  # noqa: SLF001
        if key in self._seen:
            return
        size = storage.nbytes()
        self.live += size

        def gone(_: object) -> None:
            self._seen.pop(key, None)
            self.live -= size

        self._seen[key] = weakref.ref(storage, gone)

    def _scratch(self, packet: Any, args: tuple[Any, ...], out: Any) -> int:
        """What a kernel takes beside its result.

        Measured on a CPU: oneDNN convolves in a layout of its own, in and out, where the channels suit it; else torch
        writes out every place's neighbourhood in columns.
        """
        if not self.on_cpu or packet is not aten.convolution:
            return 0
        x, weight = args[0], args[1]
        channels = x.shape[1]
        if weight.ndim == 5 and channels > 3 and (channels < 32 or channels % 16):
            return int(math.prod(weight.shape[1:]) * out.nbytes // out.shape[1])
        return int(x.nbytes) + int(out.nbytes) + int(weight.nbytes)


class _FusedAttention(TorchFunctionMode):
    """Attention that keeps no scores, as the kernels of real devices do; on the meta device torch would keep them."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Gives attention's result a place, counts its two products, and computes nothing else otherwise."""
        if func is torch.nn.functional.scaled_dot_product_attention:
            q, k = (
                args[i] if i < len(args) else (kwargs or {})[name] for i, name in enumerate(("query", "key"))
            )
            self.trace.product_flops += 4 * q.numel() * k.shape[-2]
            return torch.empty_like(q)
        return func(*args, **(kwargs or {}))
