"""The SFTP client layer: version 3 of the protocol, pipelined, over two kinds of stream.

- `login`: where to log in, as whom and with what
- `host_keys`: which server is the right one: known_hosts, fingerprints, `scan`
- `stream`: the one interface to a connection; `openssh` (a child `ssh`), `paramiko_channel`
- `packets`: SSH's packets below paramiko; `lane`: the data of its channel, past its thread
- `askpass`: how a password reaches the child; `complaint`: what the child says when it fails
- `auth`: logging in with paramiko; `ssh_config`: what such a file adds
- `wire`: packets and attributes; `status`: status codes to errors
- `dialogue`: requests out and replies in, for many threads; `exchange`: what one of them waits for
- `requests`: one request, its reply, and what the reply says
- `session`: the operations; `transfer`: reading and writing many pieces at once; `batch`: many
  files at once

It knows no Provider: `providers/sftp.py` stands on it.
"""
