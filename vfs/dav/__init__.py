"""WebDAV: the bodies of its requests and answers.

xml          a request body to a small tree, within limits; text to XML
bodies       what PROPFIND, PROPPATCH, LOCK and MKCOL ask for
multistatus  answers to many resources at once, by compiled templates, streamed
"""
