"""The query of a derived file's URL: another way to write a segment of named values."""

from urllib.parse import unquote_to_bytes

from providers.errors import InvalidPath
from providers.names import check_path
from vfs.http.bad_request import BadRequest
from vfs.http.target import Target

VALUES_MAX = 64


def with_query(target: Target) -> Target:
    """Return the target whose path says what its query said: `?layer=12` is `/layer=12`."""
    items = target.query.replace(";", "&").split("&")
    if len(items) > VALUES_MAX:
        raise BadRequest(400, f"The query may hold {VALUES_MAX} values; give fewer.")
    names = []
    for item in filter(None, items):
        name, equals, value = item.partition("=")
        if not (name and equals and value):
            raise BadRequest(400, "Each part of the query must be NAME=VALUE, such as layer=12.")
        # In a query a plus sign may stand for a space; no value holds a space.
        text = unquote_to_bytes(f"{name}={value}").decode("utf-8", "surrogateescape")
        if "," in text or "/" in text:
            raise BadRequest(400, "No value of the query may hold a comma or a slash.")
        names.append(text)
    if not names:
        return target
    segment = ",".join(names)
    try:
        check_path(segment)
    except InvalidPath as error:
        raise BadRequest(400, f"The query cannot be used: {error.detail}.") from None
    return target._replace(path=f"{target.path}/{segment}", query="", is_folder=False)
