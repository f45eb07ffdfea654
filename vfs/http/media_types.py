"""Media types by name, and how a browser is kept from running what somebody uploaded.

The table is ours alone: the same name has the same type on every machine and Python.
"""

import functools
import re

DEFAULT = "application/octet-stream"

_TABLE = """
application/dicom dcm
application/epub+zip epub
application/fits fits fit fts
application/geo+json geojson
application/gzip gz tgz
application/javascript js mjs
application/json json zarray zgroup zattrs zmetadata
application/msword doc
application/octet-stream bin dat npy npz raw
application/pdf pdf
application/rtf rtf
application/sql sql
application/toml toml
application/vnd.apache.arrow.file arrow feather
application/vnd.apache.parquet parquet
application/vnd.ms-excel xls
application/vnd.ms-powerpoint ppt
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.sqlite3 sqlite sqlite3
application/wasm wasm
application/x-7z-compressed 7z
application/x-bzip2 bz2
application/x-hdf5 h5 hdf5 hdf nxs
application/x-ipynb+json ipynb
application/x-ndjson ndjson jsonl
application/x-netcdf nc nc4 cdf
application/x-sh sh bash
application/x-tar tar
application/x-tex tex
application/x-xz xz
application/xhtml+xml xhtml
application/xml xml xsl xsd
application/yaml yaml yml
application/zip zip
application/zstd zst
audio/flac flac
audio/mpeg mp3
audio/ogg ogg oga opus
audio/wav wav
font/otf otf
font/ttf ttf
font/woff2 woff2
image/avif avif
image/bmp bmp
image/gif gif
image/jp2 jp2
image/jpeg jpg jpeg jpe
image/png png
image/svg+xml svg
image/tiff tif tiff btf tf8
image/vnd.microsoft.icon ico
image/webp webp
model/gltf-binary glb
text/calendar ics
text/css css
text/csv csv
text/html html htm
text/markdown md markdown
text/plain txt text log ini cfg conf py c h cpp f90 r jl m
text/tab-separated-values tsv tab
text/vcard vcf
text/x-rst rst
video/mp4 mp4 m4v
video/quicktime mov
video/webm webm
video/x-matroska mkv
video/x-msvideo avi
"""

_BY_EXTENSION = {
    extension: media_type
    for media_type, *extensions in map(str.split, _TABLE.strip().splitlines())
    for extension in extensions
}

# What a browser shows by itself without running anything in it. The viewer of a PDF has an origin
# of its own.
_INLINE = frozenset(
    {
        "application/json",
        "application/pdf",
        "application/x-ndjson",
        "application/yaml",
        "text/csv",
        "text/markdown",
        "text/plain",
        "text/tab-separated-values",
        "text/x-rst",
    }
)
_INLINE_KINDS = ("audio/", "image/", "video/")
_NOSNIFF = ("X-Content-Type-Options", "nosniff")
_CAGED = (
    _NOSNIFF,
    ("Content-Disposition", "attachment"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
)

# Fewer characters than RFC 6838 allows: none that XML or HTML would have to escape.
_WELL_FORMED = re.compile(
    r"[a-z0-9_.+-]{1,80}/[a-z0-9_.+-]{1,120}(?:; ?charset=[a-z0-9_.:-]{1,40})?",
    re.ASCII | re.IGNORECASE,
)


def media_type(name: str, stored: str | None = None) -> str:
    """Return the media type of a file of this name; `stored` is what the store says, if it does.

    A stored type that is none, or that says nothing, gives way to the name's.
    """
    if stored is not None and stored != DEFAULT and _WELL_FORMED.fullmatch(stored):
        return stored
    return (
        _BY_EXTENSION.get(name[name.rfind(".") + 1 :].lower(), DEFAULT) if "." in name else DEFAULT
    )


@functools.lru_cache(maxsize=256)
def browser_headers(media_type: str) -> tuple[tuple[str, str], ...]:
    """Return the headers that keep uploaded bytes of this type from acting for the gateway.

    What a browser might run (HTML, SVG, XML, scripts, anything unknown) is offered for saving and,
    should it be shown all the same, runs in a sandbox without our origin.
    """
    plain = media_type.partition(";")[0].strip().lower()
    harmless = plain in _INLINE or (plain.startswith(_INLINE_KINDS) and not plain.endswith("+xml"))
    return (_NOSNIFF,) if harmless else _CAGED
