"""What people write as a server's address."""

import pytest

from tcli_client import UrlError, parse_address


@pytest.mark.parametrize(
    ("url", "protocol", "expected"),
    [
        ("localhost", None, "http://localhost:8000"),
        ("localhost", "grpc", "grpc://localhost:8001"),
        ("box:9000", None, "http://box:9000"),
        ("box:9000", "grpc", "grpc://box:9000"),
        (":9000", None, "http://localhost:9000"),
        (" box ", None, "http://box:8000"),
        ("http://box", None, "http://box:8000"),
        ("http://box:80/", "http", "http://box:80"),
        ("http://box/triton/v2/", None, "http://box:8000/triton"),
        ("https://box", None, "https://box:443"),
        ("grpc://box", None, "grpc://box:8001"),
        ("grpcs://box", "grpc", "grpcs://box:443"),
        ("::1", None, "http://[::1]:8000"),
        ("[::1]:9000", "grpc", "grpc://[::1]:9000"),
    ],
)
def test_every_form_is_understood(url, protocol, expected):
    assert str(parse_address(url, protocol)) == expected


@pytest.mark.parametrize(
    ("url", "protocol", "says"),
    [
        ("", None, "names no host"),
        ("8000", None, "not a host"),
        ("ftp://box", None, "ftp://"),
        ("box:http", None, "not an address"),
        ("box:70000", None, "not an address"),
        ("box:0", None, "port 0"),
        ("two words", None, "not a host"),
        ("http://box:8000", "grpc", "is for http"),
        ("grpc://box", "http", "is for grpc"),
        ("grpc://box:8001/prefix", None, "more than"),
        ("http://me:secret@box", None, "more than"),
    ],
)
def test_anything_else_is_refused_with_a_way_out(url, protocol, says):
    with pytest.raises(UrlError, match=says) as refused:
        parse_address(url, protocol)
    assert refused.value.fix
