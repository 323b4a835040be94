"""Database URLs as other tools write them, brought into the one form that asyncpg reads; no password in any message."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from ai_grpc.errors import ConfigurationError

logger = logging.getLogger(__name__)

SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

# What `ssl=` means to the drivers that have it in the place of `sslmode=`.
SSL_SWITCHES: Final = {"true": "require", "1": "require", "no-verify": "require", "false": "disable", "0": "disable"}

# asyncpg would send any other parameter to the server as a setting, and the server would refuse the connection.
CERTIFICATES: Final = {"sslcert", "sslkey", "sslrootcert"}
PARAMETERS: Final = CERTIFICATES | {"options", "passfile", "sslmode", "sslnegotiation", "target_session_attrs"}

_HOST: Final = r"(?:\[[^\[\]@/?#]+\]|[^\[\]@/?#:,]*)(?::\d*)?"

# A password may hold any character unescaped: it ends at the first @ after which the rest is well-formed.
_URL: Final = re.compile(
    rf"postgres(?:ql)?(?:\+\w+)?://(?:(?P<user>[^:/?#]*?)(?::(?P<password>.*?))?@)??(?P<host>{_HOST}(?:,{_HOST})*)"
    r"(?:/(?P<database>[^@/?#]*))?(?:\?(?P<query>(?:[^=&?@/#]+=[^&]*(?:&|$))*))?",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Address:
    user: str
    password: str
    hosts: tuple[str, ...]
    ports: tuple[str, ...]
    database: str
    parameters: Mapping[str, str]


def normalise(url: str) -> str:
    """The URL in the form that asyncpg reads, without what PostgreSQL would refuse. Raises ConfigurationError."""
    address = _parse(url)
    hosts = tuple(f"[{host}]" if ":" in host else host for host in address.hosts)
    return _write(replace(address, hosts=hosts), hosts_in_query=any(host.startswith("/") for host in hosts))


def from_environment(environment: Mapping[str, str] = os.environ) -> str | None:
    """The normalised URL of the database that PGHOST and its companions name; None without PGHOST."""
    if not environment.get("PGHOST"):
        return None
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    given = {key: environment[name] for key, name in names.items() if environment.get(name)}
    return normalise(f"postgresql://?{urlencode(given)}")


def redacted(url: str) -> str:
    """Which database the URL names, fit for a log: without the password and the parameters."""
    try:
        return unquote(normalise(_write(replace(_parse(url), password="", parameters={}), hosts_in_query=True)))
    except ConfigurationError:
        return "a database URL that is not readable"


def dbmate_environment(dsn: str) -> dict[str, str]:
    """The variables that lead dbmate to the database; the password is not in the URL, which it prints in errors."""
    address = _parse(dsn)
    if len(set(address.ports)) > 1:
        raise ConfigurationError("migrations need one port for all hosts: name one host in the database URL")
    # dbmate's own default is `require`; asyncpg's is this.
    parameters = {"sslmode": os.environ.get("PGSSLMODE", "prefer"), **address.parameters}
    dbmate = replace(address, password="", ports=address.ports[:1], parameters=parameters)
    password = {"PGPASSWORD": address.password} if address.password else {}
    return {"DATABASE_URL": _write(dbmate, hosts_in_query=True), **password}


def _parse(url: str) -> _Address:
    # Shells, container tools and clipboards leave quotes and line ends around a value.
    match = _URL.fullmatch(url.strip(" \t\r\n'\""))
    if match is None:
        raise ConfigurationError(
            "the database URL is not readable; its form is postgresql://user:password@host:port/database"
        )
    user, password, host, database = (unquote(match[part] or "") for part in ("user", "password", "host", "database"))
    query: dict[str, str] = {}
    for key, value in parse_qsl(match["query"] or ""):
        query[key] = f"{query[key]},{value}" if key == "host" and key in query else value
    hosts, ports = _places(host or query.pop("host", ""), query.pop("port", ""))
    return _Address(
        user=user or query.pop("user", ""),
        password=password or query.pop("password", ""),
        hosts=hosts,
        ports=ports,
        database=database or query.pop("dbname", "") or query.pop("database", ""),
        parameters=_known(query),
    )


def _places(host_list: str, port_list: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    hosts, own_ports = zip(*(_place(text) for text in host_list.split(",")), strict=True)
    ports = tuple(port_list.split(",")) if port_list else own_ports
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if len(ports) != len(hosts):
        raise ConfigurationError("the database URL names another number of ports than of hosts")
    ports = tuple(port or "5432" for port in ports)
    if not all(port.isdecimal() and 1 <= int(port) <= 65535 for port in ports):
        raise ConfigurationError("the port in the database URL is not a number from 1 to 65535")
    return (hosts, ports) if any(hosts) else ((), ports)


def _place(text: str) -> tuple[str, str]:
    if text.startswith("[") or text.count(":") == 1:
        host, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        return host.strip("[]"), port
    return text, ""


def _known(query: Mapping[str, str]) -> dict[str, str]:
    known = {key: value for key, value in query.items() if key in PARAMETERS}
    if "ssl" in query:
        known.setdefault("sslmode", SSL_SWITCHES.get(query["ssl"].lower(), query["ssl"]))
    if known.get("sslmode", "prefer") not in SSL_MODES:
        raise ConfigurationError(f"sslmode in the database URL is none of {', '.join(SSL_MODES)}")
    for key in sorted(CERTIFICATES & known.keys()):
        if not Path(known[key]).is_file():
            raise ConfigurationError(f"{key} in the database URL names no file: {known[key]}")
    if unused := sorted(query.keys() - PARAMETERS - {"ssl"}):
        logger.info("parameters of the database URL that have no use here: %s", ", ".join(unused))
    return known


def _write(address: _Address, *, hosts_in_query: bool) -> str:
    login = quote(address.user, "") + (f":{quote(address.password, '')}" if address.password else "")
    places = [f"{host}:{port}" for host, port in zip(address.hosts, address.ports, strict=False)]
    parameters = dict(address.parameters)
    if hosts_in_query or not places:
        places = []
        hosts = {"host": ",".join(address.hosts)} if address.hosts else {}
        parameters = hosts | {"port": ",".join(address.ports)} | parameters
    path = f"/{quote(address.database, '')}" if address.database else ""
    query = f"?{urlencode(parameters, quote_via=quote, safe='/,')}" if parameters else ""
    return f"postgresql://{login}{'@' if login else ''}{','.join(places)}{path}{query}"
