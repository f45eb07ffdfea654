"""Request in, response out: the only package that knows the others.

cli         the `headgate` command
config      TOML to frozen structs
app         the composition root: the only place that builds concrete objects
errors      the one table: error class to HTTP status and log level
observe     logs
tree        one namespace over many stores: paths, mounts, rights, health, events
auth        who is asking, and what they may do
http        the server
state       what the gateway itself must remember: locks, dead properties, upload sessions
"""
