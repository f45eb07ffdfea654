"""TIFF: any window of any layer, at the price of the bytes that it covers.

`file` is what others use: TiffFile. It stands on `peek` (small reads here and there), `ifd` (one
directory of tags), `geometry` (what a page looks like), `mould` (pages that are alike), `index`
(where each page is), `plan` (which bytes a window needs), `codecs` (one segment decoded) and
`reader` (bytes to pixels). `window` is the processor `tiff.window`, `copying` its way to copy tiles
as they are, `tiled_copy` what makes giant strips bearable. `write` and `directory` make TIFFs.
"""
