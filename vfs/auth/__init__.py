"""Who is asking, and what they may do.

caller      who asks
right       what can be allowed, and where
rights      the rules: who may do what
users       who has an account here
passwords   hashes of passwords
app_passwords  random secrets, each for one program of a user
basic       verifies a name and a password
settings    the tables of the configuration about users, issuers, limits and audit
vault       how stored secrets are sealed, and the master key
errors      why a caller is not let in
"""
