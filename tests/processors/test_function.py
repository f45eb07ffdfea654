"""A function with typed parameters is a processor."""

from collections.abc import Iterator
from typing import Any

import pytest

from processors.base import Context, Folder, Source
from processors.errors import UnknownName, UnsupportedFormat
from processors.function import FunctionProcessor, processor
from processors.grammar.catalogue import Catalogue
from processors.grammar.compiling import ready_template
from processors.registry import RegistryError
from processors.testing import BytesSource, result
from processors.values import Layers
from tests.processors.sheets import PROCESSORS, find


@processor(formats=("txt", "bin"), name="plug.cut", version=3)
def cut(source: Source, *, start: int, layers: Layers | None = None) -> Iterator[bytes]:
    """Give what follows, in two blocks."""
    yield source.read_at(start, 2)
    yield b"" if layers is None else str(layers).encode()


def test_parameters_and_their_defaults_come_from_the_signature() -> None:
    made = cut()
    assert (made.name, made.version, made.formats) == ("plug.cut", 3, ("txt", "bin"))
    assert not made.takes_folder
    params: Any = made.params
    assert result(made, BytesSource(b"abcdef"), params(start=1, format="txt")) == b"bc"
    layers = Layers.of(4)
    assert result(made, BytesSource(b"ab"), params(start=0, layers=layers, format="txt")) == b"ab4"
    with pytest.raises(TypeError):
        params(format="txt")
    assert ready_template("cut", made).pattern == "~/PATH/~/{start:int}"


def test_a_folder_is_asked_for_by_its_type() -> None:
    @processor(formats=("txt",))
    def names(folder: Folder, *, context: Context) -> str:
        context.check()
        return "\n".join(member.path for member in folder.members())

    assert names.takes_folder
    assert names.name == "names"
    assert issubclass(names, FunctionProcessor)


def test_what_cannot_be_a_processor_is_refused_when_it_is_made() -> None:
    with pytest.raises(TypeError, match="must be a Source or Folder"):

        @processor(formats=("txt",))
        def untyped(source: bytes) -> bytes:
            return source

    with pytest.raises(TypeError, match="must be typed and stand behind"):

        @processor(formats=("txt",))
        def positional(source: Source, start: int) -> bytes:
            return source.read_at(start, 1)


def test_ready_templates_have_the_last_part_of_the_name() -> None:
    both = Catalogue({}, find=find, processors=lambda: [*PROCESSORS, "other.window"])
    assert both.names() == ("count", "lines", "other.window", "sheet.window")
    catalogue = Catalogue({}, find=find, processors=lambda: PROCESSORS)
    assert catalogue.find("window") is catalogue.find("window")
    with pytest.raises(UnknownName) as caught:
        catalogue.find("windwo")
    assert caught.value.example == "window/.help.txt"


def test_a_missing_package_is_told_when_the_template_is_asked_for() -> None:
    def missing(name: str) -> Any:
        raise RegistryError(f"the processor {name!r} needs a package; pip install 'x[y]'")

    catalogue = Catalogue({}, find=missing, processors=lambda: ["hist"])
    assert catalogue.names() == ("hist",)
    with pytest.raises(UnsupportedFormat, match="pip install"):
        catalogue.find("hist")
