"""Who is asking, and what they may do.

caller      who asks
right       what can be allowed, and where
rights      the rules: who may do what
settings    the tables of the configuration about users, issuers, limits and audit
remembered  credentials that were verified a moment ago
throttle    who guesses passwords has to wait
quota       how many requests one caller may make
audit       who did what, a line each
network     which addresses count as one
recent      a table that stays bounded
errors      why a caller is not let in
"""
