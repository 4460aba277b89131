"""`python -m filmwright.cli` is `filmwright`."""

from __future__ import annotations

from filmwright.cli.main import main

main()
