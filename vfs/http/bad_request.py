"""The one error of a request that cannot be served as it stands."""


class BadRequest(Exception):
    """Says why a request is refused and what to send instead.

    `status` is the answer's status, `detail` a sentence for the client with cause and way out; it
    never holds a secret. `headers` go into the answer. `condition` names the DAV: precondition
    that failed, for the error body of RFC 4918, `hrefs` the resources it concerns. Fixed once made.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        condition: str = "",
        hrefs: tuple[str, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.condition = condition
        self.hrefs = hrefs

    def __str__(self) -> str:
        return f"{self.status}: {self.detail}"
