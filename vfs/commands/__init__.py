"""Groups of `headgate` commands, one module for each noun; `vfs.cli` puts them together.

opening     which state store a command works on: --config or --state-dir
"""
