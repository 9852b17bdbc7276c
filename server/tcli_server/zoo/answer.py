"""Asks for a file over HTTP, through redirects, and says in plain words why no answer came."""

import queue
import re
import threading
from dataclasses import dataclass

import httpx

MAX_REDIRECTS = 10

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class TransferError(Exception):
    """An address does not give the file; the message says why, without naming the address."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """A response with its body unread, and what the answers on the way said about the file.

    Attributes:
        size: in bytes, where a redirect of the hub said it (`X-Linked-Size`).
        sha256: lower-case hexadecimal, where a redirect of the hub or the answer said it.
        commit: of the hub's repository (`X-Repo-Commit`).
    """

    response: httpx.Response
    size: int | None
    sha256: str | None
    commit: str | None


def ask(client: httpx.Client, request: httpx.Request, seconds: float) -> Answer:
    """The answer to a request.

    The request runs in a thread of its own, because looking up a name has no timeout that could be set.

    Args:
        seconds: how long the answer may take, with all redirects.

    Raises:
        httpx.HTTPError: no connection, or none that lasted until the answer.
        TransferError: no answer in time, or redirects that are not followed.
    """
    answers: queue.Queue[Answer | httpx.HTTPError | TransferError] = queue.Queue()

    def send() -> None:
        try:
            answers.put(_follow(client, request))
        except (httpx.HTTPError, TransferError) as error:
            answers.put(error)
        except UnicodeError:
            answers.put(TransferError("it leads to a host whose name is none"))
        except RuntimeError:  # the client was closed meanwhile, nobody waits any more
            return

    threading.Thread(target=send, name="tcli-download", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TransferError(f"no answer within {seconds:g} s") from None
    if isinstance(answer, Answer):
        return answer
    raise answer


def why(error: httpx.HTTPError) -> str:
    """What went wrong, without the address."""
    if isinstance(error, httpx.ConnectTimeout):
        return "no answer"
    if isinstance(error, httpx.ConnectError):
        told = re.sub(r"^\[Errno -?\d+\] ", "", str(error))
        return f"no connection ({told})" if told else "no connection"
    if isinstance(error, httpx.ReadTimeout):
        return "it stopped sending"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return "the connection broke off"
    return str(error) or type(error).__name__


def _follow(client: httpx.Client, request: httpx.Request) -> Answer:
    """Send a request and follow where it leads; httpx leaves an Authorization header out for another host."""
    size = sha256 = commit = None
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = client.send(request, stream=True, follow_redirects=False)
        except httpx.RemoteProtocolError as error:
            if "location header" in str(error):
                raise TransferError("it redirects to what is no address") from None
            raise
        headers = response.headers
        size = byte_count(headers.get("X-Linked-Size")) if size is None else size
        sha256 = sha256 or _sha256(headers.get("X-Linked-Etag"))
        commit = commit or headers.get("X-Repo-Commit")
        if response.next_request is None:
            return Answer(response, size, sha256, commit)
        response.close()
        request = _allowed(request, response.next_request)
    raise TransferError(f"it redirects in a circle, or more than {MAX_REDIRECTS} times")


def _allowed(before: httpx.Request, after: httpx.Request) -> httpx.Request:
    if after.url.scheme not in ("http", "https"):
        raise TransferError(f"it redirects to an address of kind '{after.url.scheme}:', which is not followed")
    if before.url.scheme == "https" and after.url.scheme == "http":
        raise TransferError(f"it redirects from https to unprotected http ({after.url.host}), which is not followed")
    return after


def byte_count(text: str | None) -> int | None:
    """The number of a header, None where there is none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else None


def _sha256(etag: str | None) -> str | None:
    text = (etag or "").strip().removeprefix("W/").strip('"')
    return text.lower() if _SHA256.fullmatch(text) else None
