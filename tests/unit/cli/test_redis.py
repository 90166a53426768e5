"""The program over Redis: every action, and what is told when the server is away."""

from __future__ import annotations

import json

import pytest

from tests.servers.process import Server
from tests.unit.cli.conftest import Cli


def test_every_action_works_over_redis(cli: Cli, redis_server: Server) -> None:
    over = ("--backend", "redis", "--redis-url", redis_server.url, "--namespace", "of the program")
    assert cli("--set", "k", '{"a":1}', "--ttl", "1h", *over).exit_code == 0
    assert json.loads(cli("--get", "k", *over).stdout) == {"a": 1}
    assert cli("keys", *over).stdout == "k\n"
    assert json.loads(cli("inspect", "k", "--json", *over).stdout)["codec"] == "json"
    stats = json.loads(cli("--stats", "--json", *over).stdout)
    assert (stats["hits"], stats["sets"], stats["total_entries"]) == (1, 1, 1)
    assert cli("--delete", "k", *over).exit_code == 0
    assert cli("--get", "k", *over).exit_code == 1
    assert cli("--cleanup", *over).exit_code == 0
    assert cli("--set", "k", "1", *over).exit_code == 0
    assert cli("--clear", "--yes", *over).stdout == "removed 1 entry\n"


@pytest.mark.parametrize("args", [("--get", "k"), ("--set", "k", "1"), ("--stats",), ("keys",)])
def test_a_server_that_is_away_is_told_without_the_password(
    cli: Cli, args: tuple[str, ...]
) -> None:
    result = cli(*args, "--redis-url", "redis://user:hunter2@127.0.0.1:1/0")
    assert result.exit_code == 3
    assert "redis://127.0.0.1:1/0" in result.stderr
    assert "hunter2" not in result.output
