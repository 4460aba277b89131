"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
SECTIONS = ["Context", "Choice", "Consequence"]
FORBIDDEN = ("TODO", "FIXME")
MAX_LINES = 450


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_public(path: Path) -> bool:
    """A module with something in it that others may use."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return path.stat().st_size > 0 and not any(p.startswith("_") and p != "__init__" for p in parts)


PUBLIC = [path for path in SOURCES if is_public(path)]


def test_the_house_is_where_it_is_looked_for() -> None:
    assert len(PUBLIC) > 20
    assert DECISIONS


@pytest.mark.parametrize("path", PUBLIC, ids=shown)
def test_a_module_says_what_it_is_and_what_it_offers(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    header = ast.get_docstring(tree)
    assert header, "no docstring at the top"
    assert header.splitlines()[0].rstrip().endswith((".", ":", "?")) or "\n" in header, (
        "its first line stops short"
    )
    offered = [names for node in tree.body if (names := exported(node)) is not None]
    assert len(offered) == 1, "no __all__"
    assert len(set(offered[0])) == len(offered[0]), "__all__ names something twice"
    if path.name != "__init__.py":  # a package may load its names when they are first used
        missing = set(offered[0]) - defined(tree)
        assert not missing, f"__all__ offers what is not there: {sorted(missing)}"


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_a_file_fits_in_a_head(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LINES, f"{len(lines)} lines: this is two rooms"


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_nothing_is_put_off(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [word for word in FORBIDDEN if re.search(rf"\b{word}\b", text)] == []


@pytest.mark.parametrize("path", DECISIONS, ids=shown)
def test_a_decision_has_its_parts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    number = path.name.split("-")[0]
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)
    assert re.match(rf"# {number}: \S", text), "the title is '# NNNN: what was decided'"
    assert re.search(r"^Date: \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts[1::2] == SECTIONS
    assert all(len(body.split()) >= 10 for body in parts[2::2]), "a section says next to nothing"
    assert len(text.split()) <= 900, "a decision is one page"


def test_decisions_are_numbered_from_one_without_gaps() -> None:
    numbers = [int(path.name.split("-")[0]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))


def exported(node: ast.stmt) -> list[str] | None:
    """The names that a statement puts into `__all__`, None for any other statement."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return None
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
        return None
    return [
        part.value
        for part in ast.walk(node.value)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]


def defined(tree: ast.Module) -> set[str]:
    """The names that a module has at its top, also under `if`, `try` and `with`."""
    names: set[str] = set()
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {
                    part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)
                }
            case ast.If() | ast.Try() | ast.With():
                todo += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return names
