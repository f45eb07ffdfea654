"""Request in, response out: the only package that knows the others.

cli         the `headgate` command
config      TOML to frozen structs; toml_file, toml_lines, toml_table and toml_text read and show it
address     addresses, networks and URLs as the configuration spells them
check       each store of a configuration is tried
app         the composition root: the only place that builds concrete objects
serving     one process, or several and their supervisor; workers says how many
supervisor  starts the workers, replaces them, speaks for all; place and reloading are its parts
worker      one of several processes
serve       an app runs until a signal ends it; SIGHUP reloads
running     the mark that a serving process leaves in its state directory
demo        the sample archive, served; sample writes it
reference   the reference pages, printed from the code
errors      the one table: error class to HTTP status and log level
observe     logs
tree        one namespace over many stores: paths, mounts, rights, health, events
auth        who is asking, and what they may do
http        the server
state       what the gateway itself must remember: locks, dead properties, upload sessions
"""
