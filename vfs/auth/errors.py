"""Why a caller is not let in. Texts name cause and way out, never a secret."""

__all__ = ["Ambiguous", "AuthError", "Throttled", "Unauthenticated"]


class AuthError(Exception):
    """Base of what can go wrong before it is known who asks."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Ambiguous(AuthError):
    """The request can be read in two ways. Answered 400."""


class Unauthenticated(AuthError):
    """The credential is not accepted; another may be. Answered 401 with what is accepted.

    `name` is whom it claimed to be, for the audit log, "" when nobody can tell.
    """

    def __init__(self, detail: str, *, name: str = "") -> None:
        super().__init__(detail)
        self.name = name


class Throttled(AuthError):
    """Too many failures or requests. Answered `status` (429 or 503) with Retry-After."""

    def __init__(self, detail: str, *, retry_after_seconds: float, status: int = 429) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds
        self.status = status
