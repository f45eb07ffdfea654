"""What the docstrings below the fields of a struct say."""

import ast
import inspect
import textwrap

import msgspec


def docs_of(cls: type[msgspec.Struct]) -> dict[str, str]:
    """Return the docstring of each field of a struct, those it inherits too.

    A struct that was made without source text has none.
    """
    docs: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__):
        if ancestor is msgspec.Struct or not issubclass(ancestor, msgspec.Struct):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(ancestor))).body[0]
        except (OSError, TypeError, SyntaxError):
            continue
        if not isinstance(body, ast.ClassDef):
            continue
        for field, text in zip(body.body, body.body[1:], strict=False):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(doc))),
                ):
                    docs[name] = " ".join(doc.split())
    return docs
