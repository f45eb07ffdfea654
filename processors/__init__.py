"""How bytes change: derived files, computed when they are read.

What an author of a processor needs lies here; `builtin` has the processors that come with the
gateway, a file for each.

    base        the contract: Processor, Params, Source, Sink, Context; start here
    errors      everything that can go wrong
    values      the types that parameters may have beside numbers and text
    function    a plain function as a processor
    registry    which processors there are
    testing     sources, a sink and a context, for tests
    stream      a source from its first byte to its last
    spool       bytes that wait in a file without a name
    grammar/    what a path below the processing mount means
    making/     one result for all who ask for it
    work/       processes that compute, and who may use them
    builtin/    the processors
    image/      pixels: read, made smaller, shown, encoded
    tiff/       any window of any layer of a TIFF

Imports run one way: making, work, then grammar and builtin, then image, then tiff.
"""
