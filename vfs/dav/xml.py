"""XML of WebDAV bodies: a strict, bounded parser, and writing it back so that values round-trip.

What a client stores in a property comes back with the same names, prefixes, xml:lang and mixed
content. Comments and processing instructions are dropped.
"""

from collections.abc import Mapping
from typing import NamedTuple
from xml.parsers import expat

import msgspec

from vfs.http.bad_request import BadRequest
from vfs.http.markup import escape

MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_ELEMENTS = 10_000
MAX_ATTRIBUTES = 100
# Each stored property repeats the namespaces that it uses: this bounds how much.
MAX_NAMESPACES = 64
MAX_NAMESPACE_CHARACTERS = 1024

_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
_SEPARATOR = "\x1f"  # XML cannot hold it, so no namespace can be split at it
_MAX_NAME_CHARACTERS = 2048  # with its namespace


class Name(NamedTuple):
    """The name of an element or attribute: its namespace ("" for none) and local part."""

    namespace: str
    local: str


class Attribute(NamedTuple):
    """One attribute, with the prefix that the client chose."""

    name: Name
    prefix: str
    value: str


class Element(msgspec.Struct, kw_only=True):
    """One element as the client wrote it.

    `declarations` are the namespaces declared on it; `scope` holds those in force, itself and
    ancestors; `language` is the xml:lang in force. Nothing changes it once it is parsed.
    """

    name: Name
    prefix: str
    attributes: tuple[Attribute, ...]
    declarations: Mapping[str, str]
    scope: Mapping[str, str]
    language: str | None
    children: list["Element | str"]

    @property
    def elements(self) -> list["Element"]:
        """The child elements, without the text between them."""
        return [child for child in self.children if isinstance(child, Element)]

    @property
    def text(self) -> str:
        """The text directly inside, without that of child elements."""
        return "".join(child for child in self.children if isinstance(child, str))


def parse(body: bytes) -> Element:
    """Return the root of an XML body.

    BadRequest 413 when it is too large, 403 when it has a DTD (entities are never read), 400 when
    it is malformed or exceeds a limit of this module.
    """
    if len(body) > MAX_BODY_BYTES:
        raise BadRequest(
            413, f"The XML body is larger than {MAX_BODY_BYTES} bytes; send less at once."
        )
    builder = _Builder()
    try:
        builder.parser().Parse(body, True)
    except expat.ExpatError as error:
        raise BadRequest(400, f"The XML body is malformed: {error}.") from None
    except (LookupError, ValueError):
        raise BadRequest(400, "The XML body has an unknown encoding; send it as UTF-8.") from None
    assert builder.root is not None, "expat refuses a document without a root"
    return builder.root


def serialise(element: Element) -> str:
    """Return an element as XML that stands alone: with the namespaces and xml:lang in force."""
    inner = _write(element)
    opening = [f"<{_qualified(element.prefix, element.name.local)}"]
    declared = element.declarations
    for prefix, namespace in element.scope.items():
        # A prefix may also stand in text, as in xsi:type="xs:int".
        if prefix not in declared and (f"{prefix}:" in inner if prefix else namespace):
            opening.append(_declaration(prefix, namespace))
    if element.language is not None and not any(
        attribute.name == (_XML_NAMESPACE, "lang") for attribute in element.attributes
    ):
        opening.append(f' xml:lang="{escape(element.language)}"')
    return "".join(opening) + inner[len(opening[0]) :]


def empty_element(name: Name) -> str:
    """Return an element without content, for an answer in which `D:` is bound to DAV:."""
    if name.namespace == "DAV:":
        return f"<D:{name.local}/>"
    if not name.namespace:
        return f"<{name.local}/>"
    return f'<n:{name.local} xmlns:n="{escape(name.namespace)}"/>'


class _Builder:
    """Builds the tree from expat's events. One parse, one thread."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._declared: dict[str, str] = {}
        self._count = 0

    def parser(self) -> expat.XMLParserType:
        """Return a parser that calls this builder; it is not kept, so that no cycle forms."""
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.namespace_prefixes = True
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_dtd
        parser.StartNamespaceDeclHandler = self._declare
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        return parser

    def _declare(self, prefix: str | None, namespace: str | None) -> None:
        if namespace is not None and len(namespace) > MAX_NAMESPACE_CHARACTERS:
            raise _too_much(f"a namespace of more than {MAX_NAMESPACE_CHARACTERS} characters")
        self._declared[prefix or ""] = namespace or ""

    def _start(self, name: str, attributes: list[str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise _too_much(f"more than {MAX_ELEMENTS} elements")
        if len(self._open) >= MAX_DEPTH:
            raise _too_much(f"elements nested deeper than {MAX_DEPTH}")
        if len(attributes) > 2 * MAX_ATTRIBUTES:
            raise _too_much(f"more than {MAX_ATTRIBUTES} attributes on one element")
        above = self._open[-1] if self._open else None
        declared, self._declared = self._declared, {}
        scope = above.scope if above is not None else {}
        if declared:
            scope = {**scope, **declared}
            if len(scope) > MAX_NAMESPACES:
                raise _too_much(f"more than {MAX_NAMESPACES} namespaces")
        language = above.language if above is not None else None
        parsed: list[Attribute] = []
        for index in range(0, len(attributes), 2):
            attribute, prefix = _split(attributes[index])
            value = attributes[index + 1]
            parsed.append(Attribute(attribute, prefix, value))
            if attribute == (_XML_NAMESPACE, "lang"):
                language = value
        full, prefix = _split(name)
        element = Element(
            name=full,
            prefix=prefix,
            attributes=tuple(parsed),
            declarations=declared,
            scope=scope,
            language=language,
            children=[],
        )
        if above is None:
            self.root = element
        else:
            above.children.append(element)
        self._open.append(element)

    def _end(self, name: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        self._open[-1].children.append(text)


def _refuse_dtd(*_: object) -> None:
    raise BadRequest(
        403,
        "The XML body has a document type or entities, which are never read here; leave them out.",
        condition="no-external-entities",
    )


def _too_much(what: str) -> BadRequest:
    return BadRequest(400, f"The XML body has {what}; send a simpler one.")


def _split(name: str) -> tuple[Name, str]:
    """Return the name and prefix of what expat gives: LOCAL, NS|LOCAL or NS|LOCAL|PREFIX."""
    if len(name) > _MAX_NAME_CHARACTERS:
        raise _too_much(f"a name of more than {_MAX_NAME_CHARACTERS} characters")
    parts = name.split(_SEPARATOR)
    if len(parts) == 1:
        return Name("", name), ""
    return Name(parts[0], parts[1]), parts[2] if len(parts) > 2 else ""


def _write(element: Element) -> str:
    name = _qualified(element.prefix, element.name.local)
    parts = [f"<{name}"]
    parts += [_declaration(*item) for item in element.declarations.items()]
    parts += [
        f' {_qualified(attribute.prefix, attribute.name.local)}="{escape(attribute.value)}"'
        for attribute in element.attributes
    ]
    if not element.children:
        parts.append("/>")
        return "".join(parts)
    parts.append(">")
    parts += [
        _escape_content(child) if isinstance(child, str) else _write(child)
        for child in element.children
    ]
    parts.append(f"</{name}>")
    return "".join(parts)


def _escape_content(text: str) -> str:
    """Return element content in which line breaks stay readable."""
    return escape(text).replace("&#10;", "\n").replace("&#9;", "\t")


def _declaration(prefix: str, namespace: str) -> str:
    return f' xmlns{":" if prefix else ""}{prefix}="{escape(namespace)}"'


def _qualified(prefix: str, local: str) -> str:
    return f"{prefix}:{local}" if prefix else local
