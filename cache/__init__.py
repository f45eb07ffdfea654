"""What is remembered: keys and bytes; knows nothing of URLs, users or stores.

Start with `blocks` (blocks of files) and `listings` (folders and stats); `freshness` says whether
something remembered may be served. `journal` keeps writes that are still to be uploaded.
docs/design/cache.md has the map.
"""
