"""What is loaded through transformers: the library, quiet, and its classes from a local folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from filmwright.spec.errors import WeightsError

__all__ = ["pretrained", "transformers_library"]


def pretrained(kind: Any, folder: Path, **options: Any) -> Any:
    """One of transformers' own classes from a folder, safetensors only, nothing fetched."""
    if "dtype" in options:
        options["use_safetensors"] = True
    try:
        found = kind.from_pretrained(str(folder), local_files_only=True, **options)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder} cannot be loaded: {str(error).splitlines()[0]}") from error
    return found.eval().requires_grad_(False) if isinstance(found, nn.Module) else found


def transformers_library() -> Any:
    """The module `transformers`, quiet.

    Raises:
        WeightsError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise WeightsError("this model needs transformers: pip install 'filmwright[open]'") from error
    library: Any = transformers
    library.utils.logging.disable_progress_bar()  # the engine draws its own
    library.utils.logging.set_verbosity_error()
    return library
