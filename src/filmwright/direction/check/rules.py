"""All rules, in the order in which their findings are shown."""

from __future__ import annotations

from filmwright.direction.check.actions import ACTIONS
from filmwright.direction.check.clashes import CLASHES
from filmwright.direction.check.content import CONTENT
from filmwright.direction.check.limits import LIMITS
from filmwright.direction.check.rule import Rule

__all__ = ["CODES", "RULES"]

RULES: tuple[Rule, ...] = (*CONTENT, *ACTIONS, *CLASHES, *LIMITS)
CODES: tuple[str, ...] = tuple(rule.code for rule in RULES)
