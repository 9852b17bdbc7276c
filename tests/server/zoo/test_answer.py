"""What is asked for over HTTP, and where redirects may lead."""

import httpx
import pytest

from tcli_server.zoo.answer import Answer, TransferError, ask

SHA256 = "ab" * 32


def asked(url: str, redirects: dict[str, httpx.Response], **headers: str) -> tuple[Answer, list[httpx.Request]]:
    """The answer for an address, and the requests that were sent; where no redirect is there is the file."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return redirects.get(str(request.url)) or httpx.Response(200, text="the file")

    client = httpx.Client(transport=httpx.MockTransport(answer))
    return ask(client, client.build_request("GET", url, headers=headers), 60), sent


def to(location: str, **headers: str) -> httpx.Response:
    return httpx.Response(
        302, headers={"Location": location, **{key.replace("_", "-"): headers[key] for key in headers}}
    )


def test_what_a_redirect_says_about_the_file_is_kept():
    linked = to("https://content/f", X_Linked_Size="12", X_Linked_Etag=f'"{SHA256.upper()}"', X_Repo_Commit="c0ffee")
    answer, _ = asked("https://hub/f", {"https://hub/f": linked})
    assert (answer.size, answer.sha256, answer.commit) == (12, SHA256, "c0ffee")


@pytest.mark.parametrize(("size", "etag"), [("-1", "abc"), ("1" * 30, "x" * 64), ("0x10", ""), ("\u0661", "W/12")])
def test_what_it_says_wrongly_is_not(size: str, etag: str):
    headers = [(b"Location", b"/g"), (b"X-Linked-Size", size.encode()), (b"X-Linked-Etag", etag.encode())]
    answer, _ = asked("https://hub/f", {"https://hub/f": httpx.Response(302, headers=headers)})
    assert (answer.size, answer.sha256) == (None, None)


def test_a_token_and_a_password_go_to_their_host_alone():
    redirects = {"https://hub/f": to("https://hub/g"), "https://hub/g": to("https://content/f")}
    _, sent = asked("https://hub/f", redirects, Authorization="Bearer secret")
    assert [request.headers.get("Authorization") for request in sent] == ["Bearer secret", "Bearer secret", None]
    _, sent = asked("https://me:secret@hub/f", {"https://me:secret@hub/f": to("https://content/f")})
    assert sent[0].headers["Authorization"].startswith("Basic ")
    assert "Authorization" not in sent[1].headers


def test_no_redirect_leads_out_of_https():
    with pytest.raises(TransferError, match=r"redirects from https to unprotected http \(content\)"):
        asked("https://hub/f", {"https://hub/f": to("http://content/f")})
    _, sent = asked("http://hub/f", {"http://hub/f": to("https://content/f")})
    assert len(sent) == 2


def test_ten_redirects_are_followed_and_not_more():
    redirects = {f"https://hub/{number}": to(f"/{number + 1}") for number in range(10)}
    _, sent = asked("https://hub/0", redirects)
    assert len(sent) == 11
    redirects["https://hub/10"] = to("/11")
    with pytest.raises(TransferError, match="more than 10 times"):
        asked("https://hub/0", redirects)
