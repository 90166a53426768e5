"""Entry point of ``python -m aiocache_pe``, the command line."""

from aiocache_pe.cli.main import main

if __name__ == "__main__":
    main()
