"""Groups of `headgate` commands, one module for each noun; `vfs.cli` puts them together.

user          who has an account
app_password  passwords for one program or device
share         paths that are lent
cache         what is remembered of stores
secret        passwords of stores, which no command shows
token         tokens for programs
duration    how long something is good for, as people write it
prompt      secrets typed without echo, or piped in
listing     a table, plain columns or JSON
progress    how far something is, on a terminal
opening     which state store a command works on: --config or --state-dir
"""
