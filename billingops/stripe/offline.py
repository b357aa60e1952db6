"""Makes dj-stripe store what it is given and nothing else: no request to Stripe, no API key in its tables.

Left alone, `sync_from_stripe_data` reads each missing relation, each product's features and each account's logo from
the API, inside the transaction, and looks the owner up through a row that holds the secret key in plain text. While
`storing()` is active in this thread these answers come from here instead; everywhere else dj-stripe is as it was.
sync.py brings the relations first, so a relation that is missing here is really missing: its column stays NULL, as
dj-stripe does for an object that Stripe has deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import stripe

# dj-stripe looks at the prefix (test or live) and insists on the form; this key opens nothing.
NO_KEY_TEST = "sk_test_" + "0" * 24
NO_KEY_LIVE = "sk_live_" + "0" * 24

_owner: ContextVar[Any] = ContextVar("owner_account", default=None)
_active: ContextVar[bool] = ContextVar("storing", default=False)


@contextmanager
def storing(owner: Any) -> Iterator[None]:
    """dj-stripe is offline; what it stores belongs to `owner` (its Account row; None is the platform)."""
    token, token_owner = _active.set(True), _owner.set(owner)
    try:
        yield
    finally:
        _active.reset(token)
        _owner.reset(token_owner)


def install() -> None:
    """Put the three switches in, once per process."""
    from djstripe.models import File, Product, StripeModel

    if getattr(StripeModel.api_retrieve, "can_be_offline", False):
        return
    retrieve, retrieve_file = StripeModel.api_retrieve, File.api_retrieve
    find_owner = StripeModel._find_owner_account.__func__  # type: ignore[attr-defined]
    features = Product._sync_product_features

    def api_retrieve(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _active.get():
            raise stripe.InvalidRequestError(f"No such object: {self.id}", "id", code="resource_missing")
        return retrieve(self, *args, **kwargs)

    def api_retrieve_file(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _active.get():
            raise stripe.AuthenticationError("Files are not mirrored.")  # the refusal its caller passes over in silence
        return retrieve_file(self, *args, **kwargs)

    def find_owner_account(cls: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        return _owner.get() if _active.get() else find_owner(cls, data, *args, **kwargs)

    def sync_features(self: Any, *args: Any, **kwargs: Any) -> None:
        if not _active.get():
            features(self, *args, **kwargs)

    api_retrieve.can_be_offline = True  # type: ignore[attr-defined]
    StripeModel.api_retrieve = api_retrieve  # type: ignore[method-assign]
    File.api_retrieve = api_retrieve_file  # type: ignore[method-assign]
    StripeModel._find_owner_account = classmethod(find_owner_account)  # type: ignore[method-assign,assignment]
    Product._sync_product_features = sync_features  # type: ignore[method-assign]
