"""Who is asking, and what they may do.

What can be allowed
caller         who asks
right          what can be allowed, and where
rights         the rules: who may do what
scopes         what a credential is bounded to, as tokens spell it

Who comes in
authenticator  from what a request shows to the caller it comes from: read it first
credentials    what a request shows
errors         why a caller is not let in
settings       the tables of the configuration about users, issuers, limits and audit
users          who has an account here

By password
basic          verifies a name and a password
passwords      hashes of passwords
app_passwords  random secrets, each for one program of a user

By token
tokens         what every token is judged by
key_tokens     tokens that users sign with keys of their own
keys           those keys
gateway_tokens tokens that the gateway signs itself
gateway_key    the key for that
issuers        tokens of OpenID Connect issuers
claims         what their claims say of a caller
published      the keys that an issuer publishes, and how fresh they are
keyset         those keys
download       a bounded document from an issuer

What is lent and kept
shares         what users lend, to whoever holds a token
stored_secrets passwords of stores that the gateway keeps

What protects it
remembered     credentials that were verified a moment ago
throttle       who guesses passwords has to wait
quota          how many requests one caller may make
audit          who did what, a line each
network        which addresses count as one
recent         a table that stays bounded
slots          the same for counts, shared by the processes of a gateway
vault          how stored secrets are sealed, and the master key
"""
