"""The gateway's own tokens are good as long as what they stand for is there."""

import threading
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.vfs.auth.signers import AUDIENCE, Signers
from vfs.auth import gateway_key
from vfs.auth.caller import Caller
from vfs.auth.errors import Unauthenticated
from vfs.auth.gateway_key import GatewayKey
from vfs.auth.gateway_tokens import ISSUER, GatewayTokens
from vfs.auth.right import Grant, Right
from vfs.auth.tokens import LEEWAY_SECONDS, peek
from vfs.auth.users import User, Users
from vfs.auth.vault import Vault
from vfs.state.accounts import ShareRecord, UserRecord
from vfs.state.base import StateStore
from vfs.state.errors import Unavailable

READ = frozenset({Right.LIST, Right.READ})
MASTER = b"m" * 32


class Gateway:
    """Tokens of one gateway process, with Ann in the store and Bob in the configuration."""

    def __init__(self, store: StateStore) -> None:
        self.store = store
        if store.user("ann") is None:
            store.put_user(UserRecord(name="ann", groups=("lofar",)))
        users = Users([User(name="bob", groups=frozenset({"ska"}))], store)
        self.tokens = GatewayTokens(store, GatewayKey(store, Vault(MASTER)), users, AUDIENCE)
        self.end = int(time.time()) + 3600

    def verify(self, token: str) -> Caller:
        return self.tokens.verify(peek(token), token)

    def refused(self, token: str) -> str:
        with pytest.raises(Unauthenticated) as caught:
            self.verify(token)
        return caught.value.detail

    def share(self, maker: str, *scopes: str, groups: tuple[str, ...] = ()) -> str:
        """Record a share and return the token for it."""
        record = ShareRecord(
            id=f"{maker}-{len(self.store.shares())}",
            maker=maker,
            groups=groups,
            scopes=scopes,
            expires_at_ns=(self.end - 60) * 1_000_000_000,
        )
        self.store.add_share(record)
        return self.tokens.issue(maker, expires_at=self.end, share=record.id)


@pytest.fixture
def gateway(store: StateStore) -> Gateway:
    return Gateway(store)


def test_a_token_lets_its_bearer_be_the_user(gateway: Gateway) -> None:
    token = gateway.tokens.issue("ann", expires_at=gateway.end, scope=["read:/a", "openid"])
    assert gateway.verify(token) == Caller(
        name="ann",
        groups=frozenset({"lofar"}),
        scopes=(Grant("/a", READ),),
        credential=f"token:{peek(token).id}",
        expires_at=gateway.end + LEEWAY_SECONDS,
    )
    assert gateway.verify(gateway.tokens.issue("bob", expires_at=gateway.end)).scopes is None


def test_it_is_good_in_every_process_and_after_a_restart(gateway: Gateway) -> None:
    token = gateway.tokens.issue("ann", expires_at=gateway.end)
    assert Gateway(gateway.store).verify(token).name == "ann"


def test_processes_that_sign_first_at_once_get_one_key(store: StateStore) -> None:
    gateways = [Gateway(store) for _ in range(8)]
    barrier = threading.Barrier(len(gateways))
    tokens: list[str] = []

    def issue(gateway: Gateway) -> None:
        barrier.wait()
        tokens.append(gateway.tokens.issue("ann", expires_at=gateway.end))

    threads = [threading.Thread(target=issue, args=(gateway,)) for gateway in gateways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == len(gateways)
    for gateway in gateways:
        assert all(gateway.verify(token).name == "ann" for token in tokens)


def test_the_key_is_nowhere_in_clear(gateway: Gateway, signers: Signers) -> None:
    gateway.tokens.issue("ann", expires_at=gateway.end)
    record = gateway.store.secret(gateway_key.NAME)
    assert record is not None
    raw = Vault(MASTER).open(gateway_key.NAME, record.sealed)
    assert len(raw) == 32
    assert raw not in record.sealed


def test_removing_the_key_ends_all_tokens(gateway: Gateway) -> None:
    other = Gateway(gateway.store)
    token = gateway.tokens.issue("ann", expires_at=gateway.end)
    other.verify(token)
    gateway.store.remove_secret(gateway_key.NAME)
    assert "does not fit" in other.refused(token)
    assert "does not fit" in gateway.refused(token)
    other.verify(gateway.tokens.issue("ann", expires_at=gateway.end))
    assert "does not fit" in other.refused(token)


def test_with_another_master_key_the_gateway_says_that_it_cannot(gateway: Gateway) -> None:
    token = gateway.tokens.issue("ann", expires_at=gateway.end)
    other = GatewayKey(gateway.store, Vault(b"o" * 32))
    tokens = GatewayTokens(gateway.store, other, Users([], gateway.store), AUDIENCE)
    with pytest.raises(Unavailable, match="does not open"):
        tokens.verify(peek(token), token)
    with pytest.raises(Unavailable, match="does not open"):
        tokens.issue("ann", expires_at=gateway.end)
    gateway.verify(token)


def test_nobody_else_signs_for_the_gateway(gateway: Gateway, signers: Signers) -> None:
    claims: dict[str, object] = {"iss": ISSUER, "sub": "ann", "account": True}
    for algorithm in signers.ALGORITHMS:
        assert "does not fit" in gateway.refused(signers.token(algorithm, claims=claims))
    gateway.tokens.issue("ann", expires_at=gateway.end)
    for algorithm in signers.ALGORITHMS:
        assert "does not fit" in gateway.refused(signers.token(algorithm, claims=claims))
    own = ed25519.Ed25519PrivateKey.generate()
    assert "does not fit" in gateway.refused(signers.token("EdDSA", key=own, claims=claims))


def test_a_token_ends_with_its_user(gateway: Gateway) -> None:
    token = gateway.tokens.issue("ann", expires_at=gateway.end)
    gateway.store.remove_user("ann")
    assert "no longer there" in gateway.refused(token)
    unknown = gateway.tokens.issue("nobody", expires_at=gateway.end)
    assert "no longer there" in gateway.refused(unknown)


def test_times_audience_and_revocation_hold(gateway: Gateway) -> None:
    def issue(end: float, audience: str | None = None) -> str:
        return gateway.tokens.issue("ann", expires_at=end, audience=audience)

    assert "expired" in gateway.refused(issue(time.time() - LEEWAY_SECONDS - 1))
    assert "another service" in gateway.refused(issue(gateway.end, "https://other"))
    gateway.verify(issue(gateway.end, AUDIENCE[0]))
    token, other = issue(gateway.end), issue(gateway.end)
    gateway.store.revoke_token(peek(token).id, expires_at_ns=(gateway.end + 60) * 10**9)
    assert "revoked" in gateway.refused(token)
    gateway.verify(other)


def test_a_share_is_its_maker_within_its_scopes(gateway: Gateway) -> None:
    caller = gateway.verify(gateway.share("ann", "storage.read:/a/b"))
    assert (caller.name, caller.groups) == ("ann", frozenset({"lofar"}))
    assert caller.scopes == (Grant("/a/b", READ),)
    assert (caller.credential, caller.vouched) == ("share:ann-0", False)
    assert caller.expires_at == gateway.end - 60
    assert gateway.verify(gateway.share("bob", "read:/a")).groups == {"ska"}


def test_a_share_without_scopes_gives_nothing(gateway: Gateway) -> None:
    assert gateway.verify(gateway.share("ann")).scopes == ()
    assert gateway.verify(gateway.share("ann", "openid")).scopes == ()


def test_a_revoked_share_is_refused(gateway: Gateway) -> None:
    token, other = gateway.share("ann", "read:/a"), gateway.share("ann", "read:/a")
    gateway.verify(token)
    gateway.store.remove_share("ann-0")
    assert "no longer there" in gateway.refused(token)
    gateway.verify(other)


def test_a_share_ends_with_its_maker_s_account(gateway: Gateway) -> None:
    anns, bobs = gateway.share("ann", "read:/a"), gateway.share("bob", "read:/a")
    gateway.store.remove_user("ann")
    assert "no longer there" in gateway.refused(anns)
    # Bob's account stood in the configuration, and his share is still recorded.
    users = Users([], gateway.store)
    key = GatewayKey(gateway.store, Vault(MASTER))
    without = GatewayTokens(gateway.store, key, users, AUDIENCE)
    assert gateway.store.share("bob-1") is not None
    with pytest.raises(Unauthenticated, match="no longer there"):
        without.verify(peek(bobs), bobs)


def test_a_share_of_somebody_from_an_issuer_needs_no_account(gateway: Gateway) -> None:
    token = gateway.share("iam:carol", "read:/a", groups=("wlcg",))
    caller = gateway.verify(token)
    assert (caller.name, caller.groups) == ("iam:carol", frozenset({"wlcg"}))
    gateway.store.remove_share("iam:carol-0")
    assert "no longer there" in gateway.refused(token)


def test_a_token_is_no_good_for_another_bearer_of_the_name(gateway: Gateway) -> None:
    """Who is added under the name of somebody removed, there or here, has nothing from before."""
    old = gateway.tokens.issue("ann", expires_at=gateway.end)
    configured = gateway.tokens.issue("bob", expires_at=gateway.end)
    for name in ("ann", "bob"):
        if name == "ann":
            gateway.store.remove_user(name)
        gateway.store.put_user(UserRecord(name=name))
    assert gateway.verify(gateway.tokens.issue("ann", expires_at=gateway.end)).name == "ann"
    assert "no longer there" in gateway.refused(old)
    assert gateway.verify(configured).name == "bob"
    key = GatewayKey(gateway.store, Vault(MASTER))
    gateway.tokens = GatewayTokens(gateway.store, key, Users((), gateway.store), AUDIENCE)
    assert "no longer there" in gateway.refused(configured)
