"""Search in the standard library's documentation.

``corpus`` reads the docstrings, ``ranking`` searches them, and ``worker`` runs cached searches in
one process. ``__main__`` runs two such processes, one after the other, on one cache directory and
shows the time that the second one saved.
"""
