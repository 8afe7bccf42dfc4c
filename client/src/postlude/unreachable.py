"""Explains why nobody answered, and what to check."""

import ssl
from collections.abc import Iterator

import httpx

from postlude.errors import Unreachable

_CHECK = "Check POSTLUDE_URL, or the client's `url`."


def unreachable(url: str, error: httpx.RequestError) -> Unreachable:
    """Return the error for a request that got no answer from `url`."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return Unreachable(f"Postlude does not answer at {url} ({reason}). {_advice(url, error)}")


def is_lasting(error: httpx.RequestError) -> bool:
    """Whether sending again cannot help, because TLS fails for a lasting reason."""
    return isinstance(error, httpx.UnsupportedProtocol) or any(
        isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        for one in _causes(error)
    )


def _advice(url: str, error: httpx.RequestError) -> str:
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in _causes(error)):
        return "Its certificate is not trusted here: name the authority's file in SSL_CERT_FILE."
    if is_lasting(error):
        return f"There may be no TLS there: if so, write http:// in place of https://. {_CHECK}"
    if isinstance(error, httpx.PoolTimeout):
        return "All of this client's connections are busy."
    if isinstance(error, httpx.RemoteProtocolError) and url.startswith("http:"):
        return f"If it speaks TLS, write https:// in place of http://. {_CHECK}"
    return f"Is it running there, and is the port right? {_CHECK}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
