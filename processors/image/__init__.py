"""Images: pixels of any format, read in blocks, made smaller, shown and encoded.

`opening` finds out what a source is: a `tiff_picture` or an `ordinary` image, each a `picture`.
`reduction` and `halving` make pixels fewer, `light` makes them visible. `encoding`, `png`, `npy`
and `tiled` write them, with the `deflate` that there is; `encoders` names the libraries that decide
about the bytes.
"""
