"""Stores. Each file or folder here is one `Backend`; `config` alone names them."""
