"""How much one client may make the gateway remember, and for how long."""

from vfs.state.errors import Invalid, TooLarge, TooMany

LOCK_SECONDS_DEFAULT = 3600
# A client that vanished must not keep others out for longer than a day.
LOCK_SECONDS_MAX = 86_400
LOCKS_PER_PRINCIPAL_MAX = 10_000
# How many of the locks in the way a LockConflict carries.
CONFLICTS_MAX = 100
OWNER_BYTES_MAX = 8192

PROPERTY_BYTES_MAX = 65_536
PROPERTIES_PER_RESOURCE_MAX = 256
# All properties of one resource: bounds what a page of a listing can hold.
RESOURCE_BYTES_MAX = 262_144

UPLOADS_PER_OWNER_MAX = 1000
PARTS_PER_UPLOAD_MAX = 10_000
UPLOAD_ID_BYTES_MAX = 255

USERS_MAX = 10_000
# The record of one user: name, hash, address, groups and keys.
USER_BYTES_MAX = 65_536
APP_PASSWORDS_PER_USER_MAX = 100
SHARES_PER_MAKER_MAX = 1000
# One app password or share with its names, groups and scopes.
CREDENTIAL_BYTES_MAX = 16_384
REVOKED_TOKENS_MAX = 100_000
SECRETS_MAX = 1000
SECRET_BYTES_MAX = 65_536
# The name of a user, a label, the id of a share or token, the name of a secret.
ACCOUNT_NAME_BYTES_MAX = 512

JOBS_MAX = 10_000
JOBS_PER_HOLDER_MAX = 100
# How long a job is remembered after it ended.
JOB_SECONDS = 86_400
# A job that runs is touched more often than this, or its process is gone.
JOB_SILENT_SECONDS = 60

_INTEGER_MAX = 2**63 - 1


def lock_seconds(asked: float | None) -> int:
    """Return what a lock is granted when `asked` is wanted: None the default, never over a day."""
    if asked is None:
        return LOCK_SECONDS_DEFAULT
    return int(min(max(asked, 1), LOCK_SECONDS_MAX))


def check_owner(owner_xml: bytes) -> None:
    """Raise TooLarge when the owner element of a lock is."""
    if len(owner_xml) > OWNER_BYTES_MAX:
        raise TooLarge(f"the owner of a lock has at most {OWNER_BYTES_MAX} bytes")


def check_property(namespace: bytes, local_name: bytes, value: bytes) -> None:
    """Raise TooLarge when one property is, Invalid when it has no name."""
    if not local_name:
        raise Invalid("a property has a name")
    if len(namespace) + len(local_name) + len(value) > PROPERTY_BYTES_MAX:
        raise TooLarge(f"a property with its name has at most {PROPERTY_BYTES_MAX} bytes")


def check_resource(count: int, size: int) -> None:
    """Raise TooMany or TooLarge when one resource would have too much."""
    if count > PROPERTIES_PER_RESOURCE_MAX:
        raise TooMany(f"a resource has at most {PROPERTIES_PER_RESOURCE_MAX} properties")
    if size > RESOURCE_BYTES_MAX:
        raise TooLarge(f"a resource has at most {RESOURCE_BYTES_MAX} bytes of properties")


def check_upload(upload_id: bytes, size: int | None) -> None:
    """Raise Invalid when a session cannot have this name or size."""
    if not 0 < len(upload_id) <= UPLOAD_ID_BYTES_MAX:
        raise Invalid(f"the name of an upload has 1 to {UPLOAD_ID_BYTES_MAX} bytes")
    if size is not None:
        check_integer(size)


def check_integer(value: int) -> None:
    """Raise Invalid unless every back end can keep `value`."""
    if not 0 <= value <= _INTEGER_MAX:
        raise Invalid(f"a size or number lies between 0 and {_INTEGER_MAX}")


def check_account_name(name: bytes) -> None:
    """Raise Invalid when a user, label, share, token or secret cannot have this name."""
    if not 0 < len(name) <= ACCOUNT_NAME_BYTES_MAX:
        raise Invalid(f"a name has 1 to {ACCOUNT_NAME_BYTES_MAX} bytes")


def check_user(size: int) -> None:
    """Raise TooLarge when the record of a user is."""
    if size > USER_BYTES_MAX:
        raise TooLarge(f"a user with groups and keys has at most {USER_BYTES_MAX} bytes")


def check_credential(size: int) -> None:
    """Raise TooLarge when an app password or a share is."""
    if size > CREDENTIAL_BYTES_MAX:
        raise TooLarge(
            f"an app password or a share with its scopes has at most {CREDENTIAL_BYTES_MAX} bytes"
        )


def check_secret(size: int) -> None:
    """Raise TooLarge when a sealed secret is."""
    if size > SECRET_BYTES_MAX:
        raise TooLarge(f"a sealed secret has at most {SECRET_BYTES_MAX} bytes")
