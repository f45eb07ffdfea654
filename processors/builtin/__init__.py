"""The processors that come with the gateway, a file for each, named as they are.

`spread` and `summary` are what stats and hist share, `members` what archive and manifest share.
"""
