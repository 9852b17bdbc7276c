"""Who is connected, as the access log says it."""

import asyncio


def client_address(transport: asyncio.BaseTransport | None) -> str:
    """The address and port, such as `127.0.0.1:4711` or `[::1]:4711`; empty where there is no connection, or no port."""
    address = transport.get_extra_info("peername") if transport is not None else None
    if not isinstance(address, tuple):
        return ""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
