"""The command line: looking into a cache and tidying it, from a shell or a script."""
