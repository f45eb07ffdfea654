"""What is configured of derived files: `[processing]` and `[templates.NAME]`."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from processors.base import Limits
from processors.compiling import TemplateError, TemplateText, compile_template
from processors.template import Template
from providers.errors import InvalidPath
from vfs.section import Section
from vfs.toml_file import TomlFile, dotted, header
from vfs.toml_lines import Key
from vfs.toml_table import read_table, table_at
from vfs.tree import paths

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class ProcessingConfig(Section, frozen=True, kw_only=True):
    """Derived files. They are served when this table, or a template, is there."""

    prefix: str = "/dispel"
    """The path of the namespace where they appear."""
    workers: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    """How many processes compute; 0 stands for one for each processor of the machine."""
    queue: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 64
    """How many requests may wait for a process; more are answered 503."""
    per_user: Annotated[int, msgspec.Meta(ge=1)] = 4
    """How many processes one user may keep busy while others wait."""
    size_bytes: Annotated[int, msgspec.Meta(ge=0)] = 20 << 30
    """How much of the disk of `server.cache_dir` results may take; the longest unused go first."""
    provenance_max: Annotated[int, msgspec.Meta(ge=1)] = 1_000_000
    """Of how many derived files it is kept in the state store how they came to be."""
    provenance_days: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """For how many days that is kept; for ever by default."""
    limits: Limits = Limits()
    """How much one request may take; the table `[processing.limits]`."""

    @property
    def worker_count(self) -> int:
        """How many processes that are."""
        return self.workers or len(os.sched_getaffinity(0))


class TemplateConfig(Section, frozen=True, kw_only=True):
    """A template: which files it makes from which source, and how. The table's name is its name."""

    path: str
    """The values of its paths, in order, each as `{name:kind}`; docs/howto/derived-files.md."""
    source: str
    """The path of the source in the namespace, with values as `{name}`."""
    run: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """The processors, in order; each takes what the one before it gives."""
    params: Mapping[str, object] = {}
    """A table of parameters that no path can change; a table within it is of one processor."""
    formats: tuple[str, ...] = ()
    """The extensions it offers; all that the last processor can make by default."""
    format: str = ""
    """The format of a path without an extension; the first of `formats` by default."""
    grid_order: Literal["xxyy", "yyxx"] = "xxyy"
    """Whether a grid is written x0-x1-y0-y1 or y0-y1-x0-x1."""
    layer_base: Literal[0, 1] = 0
    """The number of the first layer."""


def read_processing(file: TomlFile) -> ProcessingConfig | None:
    """Return `[processing]`, its defaults when only templates are there, else None."""
    if "processing" not in file.root and "templates" not in file.root:
        return None
    key: Key = ("processing",)
    limits = read_table(file, (*key, "limits"), Limits)
    for name in limits.__struct_fields__:
        if getattr(limits, name) <= 0:
            raise file.error((*key, "limits", name), f"processing.limits.{name} must be above 0")
    config = read_table(file, key, ProcessingConfig, without=("limits",), given={"limits": limits})
    try:
        prefix = paths.parse(config.prefix)
    except InvalidPath as error:
        raise file.error(
            (*key, "prefix"), f"processing.prefix is no path: {error.detail}"
        ) from error
    if prefix == paths.ROOT:
        raise file.error((*key, "prefix"), "processing.prefix must not be the root")
    return msgspec.structs.replace(config, prefix=prefix)


def read_templates(file: TomlFile) -> dict[str, Template]:
    """Return the templates by their names; ConfigError about the first thing wrong."""
    templates = {}
    for name in table_at(file, ("templates",)):
        key: Key = ("templates", name)
        if _NAME.fullmatch(name) is None:
            raise file.error(
                key,
                f"{header(key)}: a template's name has at most 64 letters, digits, '_' and '-', and"
                " starts with a letter or digit",
            )
        config = read_table(file, key, TemplateConfig)
        try:
            templates[name] = compile_template(name, _text(config))
        except TemplateError as error:
            place = (*key, *error.key)
            raise file.error(place, f"{dotted(place)}: {error}") from error
    return templates


def _text(config: TemplateConfig) -> TemplateText:
    return TemplateText(
        path=config.path,
        source=config.source,
        run=config.run,
        params=config.params,
        formats=config.formats,
        format=config.format,
        grid_order=config.grid_order,
        layer_base=config.layer_base,
    )
