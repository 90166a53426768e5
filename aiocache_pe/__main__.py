"""``python -m aiocache_pe``: the command line where its script is not on the path."""

from aiocache_pe.cli.main import main

if __name__ == "__main__":
    main()
