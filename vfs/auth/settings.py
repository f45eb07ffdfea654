"""The tables of the configuration about who may come in.

A field's docstring is its documentation; docs/reference/config.md is printed from here.
"""

from pathlib import Path

import msgspec

from vfs.section import Section


class UserConfig(Section, frozen=True, kw_only=True):
    """One user. The table's name is the user's; more are added by `headgate user add`."""

    name: str
    """The name, as in the table's name."""
    password_hash: str | None = None
    """What `headgate user hash` printed for the password."""
    password_hash_file: Path | None = None
    """A file that holds the hash, instead of `password_hash`."""
    email: str = ""
    """A second name by which tokens may name the user in their claim `email`."""
    groups: tuple[str, ...] = ()
    """The groups that the user is in, for rules that name "group:NAME"."""
    public_keys: tuple[str, ...] = ()
    """Keys that the user signs tokens with: PEM files, or keys in PEM form or base64."""


class OidcConfig(Section, frozen=True, kw_only=True):
    """One OpenID Connect issuer whose tokens are accepted. The table's name is free."""

    name: str
    """The name, as in the table's name; its users are called NAME:SUB."""
    issuer: str
    """The URL that the claim `iss` holds; discovery starts from it."""
    audience: tuple[str, ...] = ()
    """What the claim `aud` must hold one of; the default is that of `[auth]`."""
    user_claim: str = "sub"
    """The claim that names the user."""
    local_names: bool = False
    """Take the user's name as it is, so that it may be that of a user of this gateway."""
    groups_claim: str = "wlcg.groups"
    """The claim that lists groups; dots lead into nested claims, as "realm_access.roles"."""
    groups: dict[str, str] = msgspec.field(default_factory=dict)
    """What the issuer's groups are called here. When it is given, the others do not count."""
    base_path: str = "/"
    """The path of the namespace that the paths in scopes start from."""
    ca_file: Path | None = None
    """Certificates in PEM form that the issuer's server is checked with; else the system's."""


class AuthConfig(Section, frozen=True, kw_only=True):
    """What holds for every login."""

    audience: tuple[str, ...] = ()
    """What the claim `aud` of a token must hold one of; the default is the public URL."""
    remember_seconds: int = 300
    """How long a verified password or token is not verified again; changes end it at once."""
    master_key_file: Path | None = None
    """A file of 32 bytes, or their base64, that seals stored secrets; else one in `state_dir`."""


class LimitsConfig(Section, frozen=True, kw_only=True):
    """How much one user, or one address without a login, may ask for. 0 is no limit."""

    requests_per_second: float = 0.0
    """Requests in a second, as a long-term mean; twenty seconds' worth may come at once."""
    requests_at_once: int = 0
    """Requests that are answered at the same moment."""


class AuditConfig(Section, frozen=True, kw_only=True):
    """The audit log: a JSON object a line for each request."""

    enabled: bool = True
    """Write it."""
    file: Path | None = None
    """Where; the default is `audit.jsonl` in `state_dir`."""
