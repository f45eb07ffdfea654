"""TIFF: any window of any layer, at the price of the bytes that it covers.

`file` is what others use: TiffFile. It stands on `peek` (small reads here and there), `ifd` (one
directory of tags), `geometry` (what a page looks like), `mould` (pages that are alike), `index`
(where each page is), `plan` (which bytes a window needs), `codecs` (one segment decoded) and
`reader` (bytes to pixels). `copying` takes tiles over as they are, `tiled_copy` makes giant strips
bearable. `write` and `directory` make TIFFs. `tags`, `geokeys` and `ome` show what a file says.
"""
