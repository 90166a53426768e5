"""The program over Redis: every command, and the errors while the server is unavailable."""

from __future__ import annotations

import json

import pytest

from tests.support.cli_fixtures import Cli
from tests.support.servers.redis_server import Server


def test_every_command_works_over_redis(cli: Cli, redis_server: Server) -> None:
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
def test_an_unavailable_server_is_reported_without_the_password(
    cli: Cli, args: tuple[str, ...]
) -> None:
    result = cli(*args, "--redis-url", "redis://user:hunter2@127.0.0.1:1/0")
    assert result.exit_code == 3
    assert "redis://127.0.0.1:1/0" in result.stderr
    assert "hunter2" not in result.output


def test_the_doctor_checks_files(cli: Cli) -> None:
    cli("set", "k", "1")
    checks = {each["name"]: each["level"] for each in json.loads(cli("doctor", "--json").stdout)}
    assert checks["writable"] == checks["private"] == "ok"
    found = {"writable", "private", "reading", "hit counts", "file system", "locks", "clock"}
    assert set(checks) == found | {"size", "space"}
    assert checks["locks"] == checks["clock"] == "ok"
    assert "writable" in cli("doctor").stdout


def test_the_doctor_checks_redis(cli: Cli, redis_server: Server) -> None:
    result = cli("doctor", "--json", "--redis-url", redis_server.url)
    checks = {each["name"]: each for each in json.loads(result.stdout)}
    assert checks["memory"]["level"] == "warning"  # the server has no limit
    for name in ("reachable", "version", "rights", "tracking", "clock"):
        assert checks[name]["level"] == "ok"
    assert "latency" in checks


def test_the_doctor_reports_missing_permissions(cli: Cli, secured_redis: list[str]) -> None:
    result = cli("doctor", "--json", "--redis-url", secured_redis[1])
    checks = {each["name"]: each["level"] for each in json.loads(result.stdout)}
    assert checks["tracking"] == "warning"
    assert checks["reachable"] == "ok"


def test_the_doctor_ends_with_3_when_no_server_answers(cli: Cli) -> None:
    result = cli("doctor", "--redis-url", "redis://:hunter2@127.0.0.1:1")
    assert result.exit_code == 3
    assert "failure  reachable" in result.stdout
    assert "hunter2" not in result.output
