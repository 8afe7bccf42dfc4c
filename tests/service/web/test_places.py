"""Places for connections that stay open: a limit in all, and a limit for each owner."""

from contextlib import ExitStack

import pytest
from fastapi import Request

from service.access.principal import ANYBODY, BOOTSTRAP, Principal
from service.errors import TooManyWatchers
from service.web.guards import recognise
from service.web.places import Places, owner_of


def test_nobody_takes_more_than_a_share_and_who_goes_makes_room() -> None:
    places = Places(most=3, most_each=2)
    with ExitStack() as ann, ExitStack() as bob:
        for _ in range(2):
            places.check("ann")
            ann.enter_context(places.taken_by("ann"))
        with pytest.raises(TooManyWatchers, match="one caller may"):
            places.check("ann")
        places.check("bob")
        bob.enter_context(places.taken_by("bob"))
        with pytest.raises(TooManyWatchers, match="live places are taken"):
            places.check("cid")
        assert not places.has_room("cid")
        ann.close()
        places.check("ann")
    assert not places._taken, "nobody who has gone is remembered"


def test_places_belong_to_a_principal_or_where_anybody_may_call_to_an_address() -> None:
    def owner(principal: Principal, address: str) -> str:
        request = Request({"type": "http", "client": (address, 1)})
        recognise(request, principal)
        return owner_of(request)

    assert owner(BOOTSTRAP, "192.0.2.1") == owner(BOOTSTRAP, "192.0.2.2") == "bootstrap"
    assert owner(ANYBODY, "192.0.2.1") != owner(ANYBODY, "192.0.2.2")
    assert owner(ANYBODY, "2001:db8::1") == owner(ANYBODY, "2001:db8::2"), "one network is one place"
