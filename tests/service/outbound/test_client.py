import httpx
import pytest

from service.outbound import AddressRefused, open_http
from tests.service.outbound.resolving import LOOPBACK
from tests.support.receiver import Receiver


async def test_proxy_settings_of_the_environment_are_ignored(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with open_http(LOOPBACK, 10) as http:
        assert (await http.get(receiver.url)).status_code == 200


async def test_client_introduces_itself_and_follows_no_redirect(receiver: Receiver) -> None:
    receiver.respond("302 Found", location=receiver.url + "/elsewhere")
    async with open_http(LOOPBACK, 10) as http:
        assert (await http.get(receiver.url)).status_code == 302
    assert len(receiver.requests) == 1
    assert receiver.requests[0].headers["user-agent"].startswith("Postlude/")


async def test_cookies_of_one_answer_do_not_travel_with_the_next_request(receiver: Receiver) -> None:
    receiver.respond("200 OK", set_cookie="session=theirs; Path=/")
    async with open_http(LOOPBACK, 10) as http:
        await http.get(receiver.url)
        await http.get(receiver.url)
    assert "cookie" not in receiver.requests[1].headers


async def test_error_of_a_request_without_layers_names_its_request() -> None:
    request = httpx.Request("POST", "http://127.0.0.1:9/", extensions={"timeout": {"connect": 1}})
    async with open_http([], 10) as http:
        with pytest.raises(AddressRefused) as refused:
            await http.send(request, stream=True, auth=None, follow_redirects=False)
    assert refused.value.request is request
