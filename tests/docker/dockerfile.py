"""A Dockerfile read into stages, so that its steps can be run without an engine."""

import json
import re
from pathlib import Path

import msgspec

KNOWN = {
    *("COPY", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL"),
    *("RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
}


class Step(msgspec.Struct, frozen=True):
    """One instruction, such as RUN, and the text that follows it."""

    word: str
    text: str

    def json_list(self) -> list[str]:
        """Return the arguments of the exec form; the shell form raises ValueError."""
        return msgspec.json.decode(self.text[self.text.index("[") :], type=list[str])

    def pairs(self) -> dict[str, str]:
        """Return KEY=value pairs; a value may stand in double quotes."""
        found = re.findall(r'([\w.]+)=("(?:[^"\\]|\\.)*"|\S+)', self.text)
        return {k: json.loads(v) if v.startswith('"') else v for k, v in found}


class Stage(msgspec.Struct):
    """One FROM and the instructions below it."""

    base: str
    name: str
    steps: list[Step]

    def all(self, word: str) -> list[Step]:
        """Return every instruction of one kind."""
        return [step for step in self.steps if step.word == word]

    def one(self, word: str) -> Step:
        """Return the only instruction of its kind; another number of them is an error."""
        (step,) = self.all(word)
        return step


def read(path: Path) -> list[Stage]:
    """Return the stages of a Dockerfile; an instruction that is not known here is an error."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word == "ARG" and not stages:
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif word == "FROM":
            for name, value in arguments.items():
                rest = rest.replace(f"${{{name}}}", value)
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name, []))
        elif word in KNOWN:
            stages[-1].steps.append(Step(word, rest))
        else:
            message = f"{path.name}: {word} is not known to this reader: {line}"
            raise ValueError(message)
    return stages
