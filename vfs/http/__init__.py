"""The HTTP server and its protocol primitives.

The primitives do no I/O and know no server. Wherever they take `headers`, that is a mapping with
lower-case names. What they refuse, they refuse with one error, BadRequest.

bad_request   the error: status, sentence, headers
target        request target and Destination to tree paths; quoting
etags         entity tags from versions; lists of them
conditions    If-Match and its kin, decided
ranges        pieces of downloads and uploads; multipart framing
dates         the forms of time
accept        weighted lists of wishes
encodings     gzip and zstd: which, for what, and the stream
hasher        several checksums in one pass
digests       checksums as header fields
upload_check  an upload against its checksum headers
media_types   types by name; what a browser must not run
markup        XML that answers hold
listing       a folder as HTML and JSON
sharing       shares: made, listed, ended
forwarded     the client behind trusted proxies
"""
