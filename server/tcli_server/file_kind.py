"""Recognises what people get instead of a model file when a download went wrong."""

import re

_LFS = b"version https://git-lfs.github.com/spec/"

HEAD_BYTES = 1024
"""How many bytes from the start of a file `mistaken_content` wants."""


def mistaken_content(head: bytes) -> str | None:
    """What a file is, judged by its first bytes, where it is something that is often mistaken for a model; else None.

    Knows an empty file, a Git LFS pointer, an HTML page, and JSON or XML such as an error message.
    """
    if not head:
        return "an empty file"
    if head.startswith(_LFS):
        size = re.search(rb"^size (\d+)", head, re.MULTILINE)
        instead = f" for a file of {int(size[1]):,} bytes" if size else ""
        return f"a Git LFS pointer{instead}, not the file itself"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        title = re.search(rb"<title[^>]*>\s*([^<]{1,80})", head, re.IGNORECASE)
        named = f" titled '{title[1].decode('utf-8', 'replace').strip()}'" if title else ""
        return f"an HTML page{named}"
    if start.startswith((b"<?xml", b"{", b"<error")):
        return "a JSON or XML text"
    return None
