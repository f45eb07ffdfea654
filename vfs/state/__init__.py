"""What the gateway itself must remember: locks, properties, uploads, accounts.

base        the contract and its records: read it first
accounts    the part of the contract about users, app passwords, shares, tokens and secrets
errors      what can go wrong
limits      how much one client may store, and for how long
keys        paths and user text as bytes that every back end can order
sqlite      the embedded back end: one file, shared by the processes of one host; its parts are
            sqlite_locks, sqlite_properties, sqlite_uploads, sqlite_accounts, sqlite_credentials
schema      its tables, column by column
connections its connections: opening, threads, forks, errors
"""
