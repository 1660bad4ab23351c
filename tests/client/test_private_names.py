"""Names of requests and urllib3 that ``govpay.client.transport`` uses beside their documented interface."""

from __future__ import annotations

import inspect

import requests.utils
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection


def test_a_connection_opens_its_socket_by_a_method_that_can_be_replaced() -> None:
    for kind in (HTTPConnection, HTTPSConnection):
        assert "_new_conn" in dir(kind)
        assert "_new_conn" in inspect.getsource(kind.connect)
    connection = HTTPConnection("127.0.0.1", 9)
    for name in ("_dns_host", "port", "timeout", "socket_options", "source_address"):
        assert hasattr(connection, name), name


def test_a_pool_makes_connections_of_a_class_that_can_be_replaced() -> None:
    assert urllib3.HTTPConnectionPool.ConnectionCls is HTTPConnection
    assert urllib3.HTTPSConnectionPool.ConnectionCls is HTTPSConnection


def test_an_adapter_has_pool_managers_whose_pools_can_be_replaced() -> None:
    adapter = HTTPAdapter()
    assert set(adapter.poolmanager.pool_classes_by_scheme) == {"http", "https"}
    manager = adapter.proxy_manager_for("http://127.0.0.1:9")
    assert set(manager.pool_classes_by_scheme) == {"http", "https"}


def test_other_names_are_there() -> None:
    assert callable(requests.utils.get_environ_proxies)
    assert "read1" in dir(urllib3.HTTPResponse)
