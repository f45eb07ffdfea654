"""What a check needs to know of a server under test."""

import dataclasses
from pathlib import Path
from urllib.parse import urlsplit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A collection on some WebDAV server in which a check may do what it likes.

    `url` ends with a slash. `root` is the directory behind it where there is one. `ca` is the
    certificate to trust. Without `user` or `token` the server asks for none.
    """

    url: str
    user: str = ""
    password: str = ""
    token: str = ""
    root: Path | None = None
    ca: Path | None = None

    @property
    def host(self) -> str:
        """The host name in the URL."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port in the URL."""
        return urlsplit(self.url).port or 0

    @property
    def secure(self) -> bool:
        """Tell whether the server speaks TLS."""
        return self.url.startswith("https:")

    def path(self, name: str = "") -> str:
        """Return the request path of `name`, which is already percent-encoded."""
        return urlsplit(self.url).path + name

    def beneath(self, name: str, root: Path | None = None) -> "Target":
        """Return the collection `name` (plain ASCII) inside this one."""
        if root is None and self.root is not None:
            root = self.root / name
        return dataclasses.replace(self, url=f"{self.url}{name}/", root=root)

    def lines(self) -> str:
        """Return KEY=VALUE lines for a shell."""
        values = {
            "URL": self.url,
            "USERNAME": self.user,
            "PASSWORD": self.password,
            "ROOT": self.root or "",
            "CA": self.ca or "",
        }
        return "\n".join(f"{key}={value}" for key, value in values.items())
