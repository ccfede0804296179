"""The relay in front of PostgreSQL drops what only Redshift takes, and nothing else; closed, it leaves no connection."""

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.errors import LaptopError
from local.redshift_relay import RedshiftRelay, check, without_redshifts_own
from local.redshift_relay import start_up as message

OWN = ("driver_version", "os_version", "driver_discovery_version", "client_protocol_version")
WORDS = st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=12)


def start_up(parameters):
    body = struct.pack("!I", 196608) + b"".join(f"{name}\0{value}\0".encode() for name, value in parameters) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


@given(st.lists(st.tuples(st.sampled_from(OWN) | WORDS, st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=12))))
def test_only_redshifts_own_parameters_are_dropped(parameters):
    """What is left is a whole message again: PostgreSQL reads its length first. Values may be empty."""
    kept = [(name, value) for name, value in parameters if name not in OWN]

    assert start_up(kept) == without_redshifts_own(start_up(parameters))


def test_what_is_no_start_up_stays_as_it_is():
    """A request for TLS, or to cancel a query, is PostgreSQL's to answer."""
    for request in (struct.pack("!II", 8, 80877103), struct.pack("!IIII", 16, 80877102, 7, 8)):
        assert request == without_redshifts_own(request)


@pytest.fixture
def echo():
    """A server that says back what it is told; its socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        yield listening


def test_bytes_go_both_ways_until_the_relay_is_closed(echo):
    """After close() both sides are at their end: no test or laptop leaves a connection behind."""
    relay = RedshiftRelay(port=echo.getsockname()[1])
    with socket.create_connection(("127.0.0.1", relay.port), timeout=20) as client:
        client.sendall(start_up([("user", "u"), ("os_version", "x")]))
        server, _ = echo.accept()
        server.settimeout(20)
        with server:
            received = server.recv(1000)
            server.sendall(b"R" * 100_000)
            answered = read(client, 100_000)

            relay.close()

            assert start_up([("user", "u")]) == received
            assert b"R" * 100_000 == answered
            assert (b"", b"") == (client.recv(10), server.recv(10))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", relay.port), timeout=20)


def read(client, size):
    found = b""
    while len(found) < size:
        found += client.recv(size - len(found))
    return found


def test_a_client_that_is_no_postgresql_client_is_let_go(echo):
    """A browser on the port must not hang, nor end the relay for others."""
    with RedshiftRelay(port=echo.getsockname()[1]) as relay:
        with socket.create_connection(("127.0.0.1", relay.port), timeout=20) as browser:
            browser.sendall(b"GET ")
            assert b"" == browser.recv(10)
        with socket.create_connection(("127.0.0.1", relay.port), timeout=20) as client:
            client.sendall(start_up([("user", "u")]))
            echo.accept()[0].close()
            server, _ = echo.accept()
            with server:
                assert start_up([("user", "u")]) == server.recv(1000)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (b"R" + struct.pack("!II", 23, 10) + b"SCRAM-SHA-256", "does not ask reader for an md5 password"),
        (b"E" + struct.pack("!I", 60) + b"SFATAL unrecognized parameter", "does not ask reader"),
        (b"", "does not pass on: the client left"),
    ],
)
def test_a_database_that_redshifts_driver_could_not_log_in_to_is_told_at_the_start(echo, answer, wrong):
    """The laptop would be up otherwise, and its first run end over a driver's word for it."""

    def serve():
        with echo.accept()[0] as server:
            heard.append(server.recv(1000))
            server.sendall(answer)

    heard = []
    serving = threading.Thread(target=serve)
    serving.start()
    with RedshiftRelay(port=echo.getsockname()[1]) as relay:
        with pytest.raises(LaptopError, match=wrong):
            check(relay.port, user="reader", password="p", database="shop")
        serving.join(20)

    assert [message({"user": "reader", "database": "shop"})] == heard
