"""What is configured of derived files: `[processing]` and `[templates.NAME]`."""

import os
import re
from typing import Annotated

import msgspec

from processors.base import Limits
from processors.grammar.compiling import TemplateError, compile_template
from processors.grammar.template import Template, TemplateText
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
    """How many processes compute; 0 stands for one for each processor of the machine.
    Each of the processes that serve has its part of them, at least one. While one user keeps all
    of them busy there may be one more, for another."""
    queue: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 64
    """How many requests may wait for a process; more are answered 503."""
    per_user: Annotated[int, msgspec.Meta(ge=1)] = 4
    """How many processes one user may keep busy at once."""
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
        text = read_table(file, key, TemplateText)
        try:
            templates[name] = compile_template(name, text)
        except TemplateError as error:
            place = (*key, *error.key)
            raise file.error(place, f"{dotted(place)}: {error}") from error
    return templates
