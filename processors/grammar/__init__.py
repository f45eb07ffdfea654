"""Grammar: from a path below the processing mount to what has to be made, and back.

`kinds` spells single values, `pattern` what a template's path looks like, `template` what a path of
it means: a `derivation`. `parser` reads a path, `compiling` makes templates from a configuration,
`catalogue` has them all. `field_docs` finds what is said of a parameter.
"""
