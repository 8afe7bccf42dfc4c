"""No answer is told with its reason and what to check, and is lasting only where sending again cannot help."""

import ssl

import httpx
import pytest

from postlude.unreachable import is_lasting, unreachable


def because_of(cause: Exception, error: httpx.RequestError) -> httpx.RequestError:
    error.__cause__ = cause
    return error


NOT_TRUSTED = because_of(ssl.SSLCertVerificationError("self-signed"), httpx.ConnectError("verify failed"))
NO_TLS = because_of(ssl.SSLError(1, "WRONG_VERSION_NUMBER"), httpx.ConnectError("wrong version"))
CUT = because_of(ssl.SSLEOFError(8, "EOF"), httpx.ReadError("EOF"))


@pytest.mark.parametrize(
    ("url", "error", "advice"),
    [
        ("https://here", NOT_TRUSTED, "SSL_CERT_FILE"),
        ("https://here", NO_TLS, "write http:// in place of https://"),
        ("http://here", httpx.RemoteProtocolError("closed"), "write https:// in place of http://"),
        ("https://here", httpx.RemoteProtocolError("closed"), "is the port right?"),
        ("http://here", httpx.PoolTimeout(""), "(PoolTimeout). All of this client's connections are busy."),
        ("http://here", httpx.ConnectError("refused"), "Is it running there"),
    ],
)
def test_each_reason_has_its_advice(url: str, error: httpx.RequestError, advice: str) -> None:
    told = str(unreachable(url, error))
    assert told.startswith(f"Postlude does not answer at {url} (")
    assert advice in told


def test_only_tls_that_cannot_work_is_lasting() -> None:
    assert is_lasting(NOT_TRUSTED)
    assert is_lasting(NO_TLS)
    assert not is_lasting(CUT)
    assert not is_lasting(httpx.ConnectError("refused"))
