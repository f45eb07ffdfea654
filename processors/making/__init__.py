"""Making: each result computed once, kept, and told of, however many ask for it.

`maker` is what others use; an `order` is what it is asked for, and `questions` are what is asked
before. `interest` knows who waits, `asking` sees a call through the loss of a worker, `remembered`
keeps small answers, and `provenance` is what is known of a result afterwards.
"""
