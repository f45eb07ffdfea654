"""A plain function as a processor: `@processor(formats=("csv",))` above it is enough."""

import inspect
import mimetypes
from collections.abc import Callable, Iterable
from typing import Any, get_type_hints

import msgspec

from processors.base import Context, Folder, Output, Params, Plan, Processor, Sink, Source

Made = bytes | str | Iterable[bytes]


class FunctionProcessor(Processor):
    """Calls a function with the source and its parameters. What it returns is the result.

    `function`, `own` and `takes_context` belong to the class that `processor` makes.
    """

    function: Callable[..., Made]
    own: tuple[str, ...]
    takes_context: bool

    def plan(self, source: Any, params: Any, context: Context) -> Plan:  # noqa: ANN401 - as the contract says
        """Tell the media type; only the computation tells the size."""
        kind = mimetypes.guess_type(f"x.{params.format}")[0] or "application/octet-stream"
        size = 0 if self.takes_folder else source.size
        return Plan(outputs=(Output(media_type=kind),), bytes_wanted=size)

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:  # noqa: ANN401 - as the contract says
        """Write what the function returns."""
        values = {name: getattr(params, name) for name in self.own}
        if self.takes_context:
            values["context"] = context
        made = type(self).function(source, **values)
        if isinstance(made, str):
            made = made.encode()
        for block in (made,) if isinstance(made, bytes) else made:
            context.check()
            sink.write(block)


def processor(
    *, formats: tuple[str, ...], name: str = "", version: int = 1, pattern: str = ""
) -> Callable[[Callable[..., Made]], type[FunctionProcessor]]:
    """Make a processor of a function.

    Its first parameter takes the Source, or the Folder if it is typed so. `context`, where it is
    there, gets the Context; `format` gets the extension that was asked for. Each other one is typed
    and keyword-only; those without a default are required. It returns bytes, text, or yields bytes.
    """

    def decorate(function: Callable[..., Made]) -> type[FunctionProcessor]:
        hints = get_type_hints(function, include_extras=True)
        source, *rest = inspect.signature(function).parameters.values()
        if hints.get(source.name) not in (Source, Folder):
            raise TypeError(f"{function.__name__}: its first parameter must be a Source or Folder")
        fields: list[Any] = []
        for parameter in rest:
            if parameter.name in ("context", "format"):
                continue
            if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name not in hints:
                raise TypeError(
                    f"{function.__name__}: {parameter.name} must be typed and stand behind *"
                )
            default = () if parameter.default is parameter.empty else (parameter.default,)
            fields.append((parameter.name, hints[parameter.name], *default))
        taken = tuple(p.name for p in rest if p.name != "context")
        called = name or function.__name__
        params = msgspec.defstruct(
            f"{function.__name__}_params",
            fields,
            bases=(Params,),
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
        )
        return type(
            function.__name__,
            (FunctionProcessor,),
            {
                "__doc__": function.__doc__,
                "__module__": function.__module__,
                "name": called,
                "version": version,
                "params": params,
                "formats": formats,
                "takes_folder": hints[source.name] is Folder,
                "pattern": pattern,
                "function": staticmethod(function),
                "own": taken,
                "takes_context": any(p.name == "context" for p in rest),
            },
        )

    return decorate
