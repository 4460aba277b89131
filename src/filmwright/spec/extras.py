"""What an extra of the package brings, looked for before any work: `make film` installs none."""

from __future__ import annotations

from importlib.util import find_spec

from filmwright.spec.errors import BadRequest

__all__ = ["check_world"]


def check_world() -> None:
    """See that the simulated world can be computed.

    Raises:
        BadRequest: MuJoCo is not installed.
    """
    if find_spec("mujoco") is None:
        raise BadRequest(
            "the simulated world needs the extra `world`: pip install 'filmwright[world]'; in a checkout, "
            "pip install -e '.[world]'"
        )
