"""What the gateway itself must remember: locks, dead properties, upload sessions.

base        the contract and its records: read it first
errors      what can go wrong
limits      how much one client may store, and for how long
keys        paths and user text as bytes that every back end can order
sqlite      the embedded back end: one file, shared by the processes of one host; its parts are
            sqlite_locks, sqlite_properties and sqlite_uploads
schema      its tables, column by column
connections its connections: opening, threads, forks, errors
"""
