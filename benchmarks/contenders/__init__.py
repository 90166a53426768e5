"""One module per library; each public function is an operation that a row can name.

A module says which distributions it speaks for in ``PACKAGES``, imports them at the top
(a missing one is reported as "not installed"), and is only ever loaded in a child process.
"""
