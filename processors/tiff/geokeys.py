"""Geokeys: where on earth a GeoTIFF lies."""

from functools import cache

from processors.tiff.tags import TEXT_SHOWN, Tags

_SCALE, _TIES, _MATRIX, _KEYS, _DOUBLES, _TEXTS = 33550, 33922, 34264, 34735, 34736, 34737
_WIDTH, _HEIGHT, _NODATA = 256, 257, 42113
_KEYS_MOST = 4 * 512
_NUMBERS_MOST = 4_096
_TEXT_MOST = 1 << 16
_NODATA_MOST = 64
_CODES = (3072, 2048)  # of a projected system, of one in degrees
_USER_DEFINED = 32767


def read(tags: Tags) -> dict[str, object]:
    """Return keys, pixel size, corners and fill value, {} when the page is no GeoTIFF.

    Malformed or TooLarge when the tags are not as the standard has them.
    """
    keys = _keys(tags)
    matrix = _matrix(tags)
    found: dict[str, object] = {}
    if keys:
        found["keys"] = {_name(key): value for key, value in keys.items()}
        codes = [keys.get(key) for key in _CODES]
        code = next((c for c in codes if isinstance(c, int) and 0 < c < _USER_DEFINED), None)
        if code is not None:
            found["epsg"] = code
    if matrix is not None:
        width, height = (tags.numbers(number, 1)[0] for number in (_WIDTH, _HEIGHT))
        a, b, c, d, e, f = matrix
        found["transform"] = list(matrix)
        found["corners"] = {
            name: [a * x + b * y + c, d * x + e * y + f]
            for name, x, y in (
                ("upper_left", 0, 0),
                ("upper_right", width, 0),
                ("lower_left", 0, height),
                ("lower_right", width, height),
            )
        }
    nodata = tags.text(_NODATA, _NODATA_MOST).strip()
    if nodata:
        found["nodata"] = nodata
    return found


def _keys(tags: Tags) -> dict[int, object]:
    """Return the geo keys with their values."""
    directory = [int(value) for value in tags.numbers(_KEYS, _KEYS_MOST)]
    found: dict[int, object] = {}
    for at in range(4, len(directory) - 3, 4):
        key, place, count, value = directory[at : at + 4]
        if place == 0:
            found[key] = value
        elif place == _DOUBLES:
            numbers = tags.numbers(_DOUBLES, _NUMBERS_MOST)[value : value + min(count, 16)]
            found[key] = numbers[0] if len(numbers) == 1 else numbers
        elif place == _TEXTS:
            text = tags.text(_TEXTS, _TEXT_MOST)[value : value + min(count, TEXT_SHOWN)]
            found[key] = text.rstrip("|")
    return found


def _matrix(tags: Tags) -> tuple[float, float, float, float, float, float] | None:
    """Return how pixels become places: x = a column + b row + c, y = d column + e row + f."""
    scale, ties = tags.numbers(_SCALE, 3), tags.numbers(_TIES, _NUMBERS_MOST)
    whole = tags.numbers(_MATRIX, 16)
    if len(whole) == 16:  # noqa: PLR2004 - four by four
        return whole[0], whole[1], whole[3], whole[4], whole[5], whole[7]
    if len(scale) >= 2 and len(ties) >= 6:  # noqa: PLR2004 - two of a pixel, six of a point
        column, row, _, x, y, _ = ties[:6]
        return scale[0], 0.0, x - column * scale[0], 0.0, -scale[1], y + row * scale[1]
    return None


@cache
def _names() -> dict[int, str]:
    # A table of a large module: imported when it is first asked for.
    from tifffile import TIFF  # noqa: PLC0415

    return {int(key): key.name for key in TIFF.GEO_KEYS}


def _name(key: int) -> str:
    return _names().get(key, f"Key{key}")
