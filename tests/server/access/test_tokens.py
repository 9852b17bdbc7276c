"""The file of tokens: what it may hold, what is said of it, whose a token is."""

import hashlib
import os
from pathlib import Path

import pytest

from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.access.apis import Api
from tcli_server.protocols.access.tokens import TokenFile
from tcli_server.protocols.following import Follower

A, B = "aaaaaaaa-token-1", "bbbbbbbb-token-2=="


def token_file(folder: Path, text: str) -> Path:
    path = folder / "tokens"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_token_is_its_lines_whether_it_is_written_there_or_what_it_hashes_to(tmp_path: Path):
    digest = hashlib.sha256(B.encode()).hexdigest()
    tokens = TokenFile(str(token_file(tmp_path, f"# who\n\nready metrics,health {A}\n all\tall  sha256:{digest}\r\n")))
    one, other = tokens.find(A.encode()), tokens.find(B.encode())
    assert one is not None
    assert (one.name, one.scopes) == ("ready", {Api.METRICS, Api.HEALTH})
    assert other is not None
    assert (other.name, other.scopes) == ("all", set(Api))
    for wrong in (b"", A[:-1].encode(), A.encode() + b"x", digest.encode(), f"sha256:{digest}".encode(), b"a" * 9999):
        assert tokens.find(wrong) is None


SECRET = "s3cret-s3cret-s3cret"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there are no tokens"),
        ("# a comment\n", "there are no tokens"),
        (f"all {SECRET}\n", "line 1: expected a name, scopes and a token; found 2 columns"),
        (f"\na all {SECRET} more\n", "line 2: expected a name, scopes and a token; found 4 columns"),
        (f"a {SECRET} all\n", "line 1: the second column is no list of scopes; expected all, or some of health, metadata"),
        (f"a health,{SECRET} {A}\n", "the second column is no list of scopes"),
        (f"a all {SECRET}é\n", "line 1: the third column is no token: expected letters, digits and any of -._~+/"),
        ("a all s3cret-short\n"[:-3] + "\n", "line 1: the token has 10 characters, expected 16 to 4096; fix:"),
        (f"a all sha256:{SECRET}\n", "the third column is no token"),
        (f"a all {SECRET}\nb health {SECRET}\n", "line 2: this token is in a line before"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_line_is_told_and_never_what_may_be_a_token(tmp_path: Path, text: str, said: str):
    with pytest.raises(InvalidArgumentError) as raised:
        TokenFile(str(token_file(tmp_path, text)))
    assert said in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_what_follows_takes_what_is_new_and_keeps_what_was_where_the_new_is_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = token_file(tmp_path, f"a all {A}\n")
    tokens = TokenFile(str(path))
    follower = Follower([tokens])

    def is_known(token: str) -> bool:
        return tokens.find(token.encode()) is not None

    token_file(tmp_path, f"b all {B}\n")
    follower.look()
    assert not is_known(A)
    assert is_known(B)
    for replaced in (broken, removed, folder, pipe):
        replaced(path)
        caplog.clear()
        follower.look()
        follower.look()
        assert is_known(B), replaced
        assert [record.levelname for record in caplog.records] == ["ERROR"], replaced
        assert "what was read before stays in force" in caplog.text
        assert SECRET not in caplog.text
    path.unlink()
    token_file(tmp_path, f"a all {A}\n")
    follower.look()
    assert is_known(A)


def broken(path: Path) -> None:
    path.write_text(f"x {SECRET}\n")


def removed(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    path.rmdir()
    os.mkfifo(path)


def test_ten_thousand_tokens_are_each_known(tmp_path: Path):
    lines = "".join(f"n{number} inference token-{number:012}\n" for number in range(10_000))
    tokens = TokenFile(str(token_file(tmp_path, lines)))
    for number in (0, 4711, 9999):
        token = tokens.find(f"token-{number:012}".encode())
        assert token is not None
        assert token.name == f"n{number}"
    assert tokens.find(b"token-000000010000") is None
