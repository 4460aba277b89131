"""XML in and out: a plain tree whose elements know their line, read through defusedxml within limits.

A document type is allowed, since FCPXML has one; entities of its own, and anything outside of the file, are not. So no
few lines grow to gigabytes, and nothing else of the machine is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NoReturn

from filmwright.spec.errors import TimelineError

__all__ = ["MAX_XML_BYTES", "Node", "parse_xml", "xml_text"]

MAX_XML_BYTES = 64_000_000
MAX_ELEMENTS = 1_000_000
MAX_DEPTH = 100
CHUNK = 1 << 16
INVALID = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Node:
    """An element; `line` and `column` count from 1 and are 0 in a tree that is to be written."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Node] = field(default_factory=list)
    line: int = 0
    column: int = 0

    def add(self, tag: str, text: object = "", /, **attributes: object) -> Node:
        """A new child; attributes that are None are left out."""
        given = {key: str(value) for key, value in attributes.items() if value is not None}
        child = Node(tag, given, str(text))
        self.children.append(child)
        return child

    def all(self, tag: str) -> list[Node]:
        """The children of a name."""
        return [child for child in self.children if child.tag == tag]

    def find(self, path: str) -> Node | None:
        """The first descendant by the names on the way, such as `media/video`."""
        node: Node | None = self
        for tag in path.split("/"):
            node = next((child for child in node.children if child.tag == tag), None) if node else None
        return node

    def get(self, path: str, default: str = "") -> str:
        """The text of `find(path)`, without white space around it."""
        node = self.find(path)
        return node.text.strip() if node is not None else default

    def walk(self) -> Iterator[Node]:
        """This and all below it, in the order of the file."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(reversed(node.children))


def parse_xml(data: bytes, place: str) -> Node:
    """The tree of a file.

    Raises:
        TimelineError: with line and column: no XML, entities or references of its own, too large or too deep.
    """
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.expatreader import create_parser
    except ImportError as error:
        raise TimelineError("XML needs the extra `film`: pip install 'filmwright[film]'") from error
    from xml.sax import SAXParseException  # only the type of an error: the reading is defusedxml's

    if len(data) > MAX_XML_BYTES:
        raise TimelineError(f"{place} has {len(data)} bytes, the limit for XML is {MAX_XML_BYTES}")
    parser = create_parser(forbid_dtd=False, forbid_entities=True, forbid_external=True)
    builder = _Builder(place, parser)
    parser.setContentHandler(builder)
    try:
        source = BytesIO(data)
        while block := source.read(CHUNK):
            parser.feed(block)
        parser.close()
    except SAXParseException as error:
        line, column = error.getLineNumber() or 1, (error.getColumnNumber() or 0) + 1
        raise TimelineError(
            f"{place}:{line}:{column}: no XML: {error.getMessage()}; export it again"
        ) from error
    except DefusedXmlException as error:
        builder.fail(
            f"entities and references to other files are refused ({type(error).__name__}); take them out"
        )
    except (LookupError, ValueError) as error:  # an encoding that does not exist
        builder.fail(f"no XML: {error}; export it again")
    if builder.root is None:
        builder.fail("no XML: there is no element in it; export it again")
    return builder.root


class _Builder:
    """A SAX handler that makes `Node`s."""

    def __init__(self, place: str, locator: Any) -> None:
        self.place = place
        self.locator = locator  # knows the line and column of what is being read
        self.root: Node | None = None
        self.open: list[Node] = []
        self.texts: list[list[str]] = []
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        """What SAX tells and a timeline does not need: prefixes, processing instructions, the document's ends."""
        if name in {"startDocument", "endDocument", "processingInstruction", "ignorableWhitespace", "skippedEntity",
                    "startPrefixMapping", "endPrefixMapping", "startElementNS", "endElementNS"}:  # fmt: skip
            return lambda *_: None
        raise AttributeError(name)

    def fail(self, why: str) -> NoReturn:
        line, column = self.locator.getLineNumber() or 1, (self.locator.getColumnNumber() or 0) + 1
        raise TimelineError(f"{self.place}:{line}:{column}: {why}")

    def startElement(self, name: str, attributes: Any) -> None:  # noqa: N802 the name is SAX's
        self.count += 1
        if self.count > MAX_ELEMENTS:
            self.fail(f"more than {MAX_ELEMENTS} elements, the limit; export a shorter timeline")
        if len(self.open) >= MAX_DEPTH:
            self.fail(f"elements are nested more than {MAX_DEPTH} deep, the limit; that is no timeline")
        node = Node(
            name, dict(attributes.items()), line=self.locator.getLineNumber(), column=self.locator.getColumnNumber() + 1
        )  # fmt: skip
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node
        self.open.append(node)
        self.texts.append([])

    def endElement(self, _name: str) -> None:  # noqa: N802
        self.open.pop().text = "".join(self.texts.pop())

    def characters(self, content: str) -> None:
        if self.texts:
            self.texts[-1].append(content)


def xml_text(root: Node, doctype: str) -> str:
    """A document, indented; signs that XML cannot hold become spaces."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<!DOCTYPE {doctype}>"]
    _write(root, 0, lines)
    return "\n".join(lines) + "\n"


def _write(node: Node, depth: int, lines: list[str]) -> None:
    pad = "  " * depth
    attributes = "".join(f' {key}="{_escaped(value, quote=True)}"' for key, value in node.attributes.items())
    if node.children:
        lines.append(f"{pad}<{node.tag}{attributes}>")
        for child in node.children:
            _write(child, depth + 1, lines)
        lines.append(f"{pad}</{node.tag}>")
    elif node.text:
        lines.append(f"{pad}<{node.tag}{attributes}>{_escaped(node.text)}</{node.tag}>")
    else:
        lines.append(f"{pad}<{node.tag}{attributes}/>")


def _escaped(text: str, *, quote: bool = False) -> str:
    text = (
        INVALID.sub(" ", text)
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\r", "&#13;")
    )
    if quote:  # a reader turns bare line ends of attributes into spaces
        text = text.replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return text
