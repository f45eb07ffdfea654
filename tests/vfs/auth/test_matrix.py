"""Every verb, by every kind of caller, under every shape of rule, is answered as promised.

The credentials are real: each comes in through the gateway's own door, the tokens of an issuer from
a real issuer.
"""

import base64
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from providers.memory import MemoryOptions, MemoryProvider
from tests.servers import oidc_issuer
from tests.vfs.auth.matrix import (
    DERIVED,
    FILE,
    FOLDER,
    JOB,
    OTHER,
    RIGHTS,
    VERBS,
    Kind,
    Rule,
    Verb,
    expected,
    rules,
)
from tests.vfs.http.asking import ask
from vfs import config
from vfs.app import App
from vfs.auth import app_passwords
from vfs.auth.passwords import hash_password
from vfs.auth.right import Right
from vfs.auth.rights import Rights
from vfs.auth.rights import Rule as TreeRule
from vfs.auth.tokens import peek
from vfs.state.accounts import AppPasswordRecord
from vfs.state.derived import JobRecord, JobState
from vfs.tree.mounts import Mount, MountTable

PART = 40
"""The default run takes one rule of so many, by chance; the slow one takes all."""

READ, LOOK = frozenset({"list", "read"}), "storage.read:/m/in"
WRITE = frozenset({"create", "modify", "delete", "lock"})
NAMED = frozenset({"anyone", "authenticated"})
ALICE = NAMED | {"user:alice", "group:lofar"}
BOB = NAMED | {"user:bob"}
VISITOR = NAMED | {"user:iam:visitor"}

KINDS = (
    Kind("nobody", frozenset({"anyone"})),
    Kind("alice by password", ALICE),
    Kind("bob by password", BOB),
    Kind("alice by app password", ALICE),
    Kind("alice by bound app password", ALICE, ((("/m/in"), READ),)),
    Kind("alice by her key", ALICE),
    Kind("alice by her key, bound", ALICE, ((FOLDER, WRITE), (FILE, READ))),
    Kind("alice by the gateway's token", ALICE),
    Kind("alice by a share", ALICE, ((FOLDER, READ),)),
    Kind("visitor", VISITOR),
    Kind("visitor in a group", VISITOR | {"group:lofar"}),
    Kind("visitor with scopes", VISITOR | {"scope"}, (("/m/in", READ), ("/m", WRITE))),
    Kind("visitor with a create scope", VISITOR | {"scope"}, (("/m/in", frozenset({"create"})),)),
    Kind("visitor with scopes elsewhere", VISITOR | {"scope"}, (("/m/i", READ | WRITE),)),
    Kind("a wrong password", frozenset(), refused=True),
    Kind("an expired token", frozenset(), refused=True),
    Kind("a revoked token", frozenset(), refused=True),
    Kind("a token of nobody", frozenset(), refused=True),
)


class Site:
    """A gateway with every kind of account, and what each kind of caller shows."""

    def __init__(self, folder: Path, issuer: oidc_issuer.OidcIssuer) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "alice.pem").write_bytes(pem)
        file = folder / "headgate.toml"
        file.write_text(f"""
[processing]
[mounts."/m"]
provider = "memory"
[users.alice]
password_hash = "{hash_password("alice's own words")}"
public_keys = ["alice.pem"]
groups = ["lofar"]
[users.bob]
password_hash = "{hash_password("bob's own words")}"
[oidc.iam]
issuer = "{issuer.issuer}"
groups_claim = "groups"
[auth]
audience = ["https://gw.example.org"]
[[rules]]
path = "/"
who = ["user:alice"]
rights = {json.dumps(RIGHTS)}
""")
        self.app = App(config.load(file))
        job = JobRecord(id=JOB, holder="user:eve", path=DERIVED, state=JobState.RUNNING)
        self.app.state.begin_job(job)
        self.reset()
        self._shown = self._credentials(key, issuer)

    def reset(self) -> None:
        """Put the files there again."""
        store = MemoryProvider(MemoryOptions())
        for name in ("in", "in/d"):
            store.mkdir(name)
        for path in (FILE, OTHER, f"{FOLDER}/x"):
            with store.create(path.removeprefix("/m/")) as writer:
                writer.write(b"1")
                writer.commit()
        mount = Mount("/m", [store])
        assert self.app._processing is not None
        derived = self.app._processing.mount(self.app.config, MountTable([mount]))
        self.app.tree.remount(MountTable([mount, derived]), self.app.tree.rights)
        self.app.state.drop_tree("/")

    def rule(self, rule: Rule) -> None:
        """Put one rule in force."""
        rights = frozenset(map(Right, rule.rights))
        given = TreeRule(path=rule.path, who=frozenset({rule.who}), rights=rights)
        self.app.tree.regulate(Rights([given], closed=True))

    def ask(self, kind: Kind, verb: Verb) -> int:
        """Send a request and return the status."""
        headers = {**verb.headers, **self._shown[kind.name]}
        body = None if verb.body is None else verb.body.encode()
        return ask(self.app.gate, verb.method, verb.target, body, headers).status

    def _credentials(
        self, key: ec.EllipticCurvePrivateKey, issuer: oidc_issuer.OidcIssuer
    ) -> dict[str, dict[str, str]]:
        soon = int(time.time()) + 3600
        own = self.app.entrance.tokens

        def signed(**claims: object) -> str:
            return jwt.encode({"sub": "alice", "exp": soon, **claims}, key, algorithm="ES256")

        def visitor(**claims: object) -> str:
            return issuer.token({"sub": "visitor", "aud": "https://gw.example.org", **claims})

        secrets = {"free": app_passwords.fresh(), "bound": app_passwords.fresh()}
        for label, secret in secrets.items():
            scopes = (LOOK,) if label == "bound" else ()
            digest = app_passwords.digest(secret)
            record = AppPasswordRecord(user="alice", label=label, digest=digest, scopes=scopes)
            self.app.state.add_app_password(record)
        alice = {"Authorization": _basic("alice", "alice's own words")}
        wish = json.dumps({"path": FOLDER, "rights": ["read"]}).encode()
        made = ask(
            self.app.gate,
            "POST",
            "/.headgate-shares",
            wish,
            {**alice, "Content-Type": "application/json"},
        )
        share = json.loads(made.body)["token"]
        revoked = signed(jti="gone")

        self.app.state.revoke_token(peek(revoked).id, expires_at_ns=soon * 10**9)
        stranger = jwt.encode(
            {"sub": "alice", "exp": soon}, ec.generate_private_key(ec.SECP256R1()), "ES256"
        )
        shown = {
            "alice by password": alice["Authorization"],
            "bob by password": _basic("bob", "bob's own words"),
            "alice by app password": _basic("alice", secrets["free"]),
            "alice by bound app password": _basic("alice", secrets["bound"]),
            "alice by her key": f"Bearer {signed()}",
            "alice by her key, bound": (
                f"Bearer {signed(scope=f'storage.modify:{FOLDER} read:{FILE}')}"
            ),
            "alice by the gateway's token": f"Bearer {own.issue('alice', expires_at=soon)}",
            "alice by a share": _basic("share", share),
            "visitor": f"Bearer {visitor(scope='openid')}",
            "visitor in a group": f"Bearer {visitor(scope='openid', groups=['lofar'])}",
            "visitor with scopes": f"Bearer {visitor(scope=f'{LOOK} storage.modify:/m/')}",
            "visitor with a create scope": f"Bearer {visitor(scope='storage.create:/m/in')}",
            "visitor with scopes elsewhere": f"Bearer {visitor(scope='read:/m/i write:/m/i')}",
            "a wrong password": _basic("alice", "not her words"),
            "an expired token": f"Bearer {signed(exp=soon - 7200)}",
            "a revoked token": f"Bearer {revoked}",
            "a token of nobody": f"Bearer {stranger}",
        }
        return {name: {"Authorization": text} for name, text in shown.items()} | {"nobody": {}}


def _basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("issuer")
    with oidc_issuer.launch(folder) as issuer:
        site = Site(tmp_path_factory.mktemp("site"), issuer)
        yield site
        site.app.close()


def _run(site: Site, chosen: Sequence[Rule]) -> Counter[int]:
    seen: Counter[int] = Counter()
    wrong = []
    for rule in chosen:
        for kind in KINDS:
            if kind.refused:
                continue
            for verb in VERBS:
                site.rule(rule)
                got = site.ask(kind, verb)
                promised = expected(kind, rule, verb)
                seen[promised] += 1
                if got != promised:
                    wrong.append(f"{verb.name} by {kind.name} under {rule}: {got}, not {promised}")
                if got < 400 and verb.method not in ("GET", "HEAD", "OPTIONS", "PROPFIND"):
                    site.reset()
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:20]])
    return seen


@pytest.mark.logs("not permitted")
def test_some_of_the_matrix(site: Site) -> None:
    chosen = random.Random(4).sample(list(rules()), len(list(rules())) // PART)
    seen = _run(site, chosen)
    print(sum(seen.values()), "requests:", dict(seen))
    # All outcomes are there, so a gateway that answers always the same is caught.
    assert {200, 201, 204, 207, 401, 403, 404} <= set(seen)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.logs("not permitted")
def test_all_of_the_matrix(site: Site) -> None:
    seen = _run(site, list(rules()))
    print(sum(seen.values()), "requests:", dict(seen))


@pytest.mark.logs("not permitted")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.refused], ids=lambda k: k.name)
def test_a_credential_that_is_refused_is_refused_for_every_verb(site: Site, kind: Kind) -> None:
    """Also where anyone may do everything: it is not taken for no credential."""
    rule = Rule("anyone", "/", frozenset(RIGHTS))
    site.rule(rule)
    for verb in VERBS:
        assert site.ask(kind, verb) in (401, 429), verb.name
    assert site.ask(kind, VERBS[1]) in (401, 429)
