"""`python -m filmwright.cli` is `filmwright`."""

from __future__ import annotations

from filmwright.cli.entry import main

main()
