"""gRPC on HTTP/2 connections: heads, messages and calls, for `nghttp2_impl`."""
