"""Search the standard library's own documentation; `make demo` runs it.

``corpus`` reads the docstrings, ``ranking`` searches them, ``worker`` asks cached questions in
a process of its own, and ``__main__`` runs two such processes one after the other on one cache
directory and shows what the second one saved.
"""
