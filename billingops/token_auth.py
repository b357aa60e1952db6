"""API tokens, as Django REST framework checks them; one that is refused is told to the audit log, the token never is.

Named in settings. What an address can write into the log this way is bounded: signin.py counts it.
"""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from billingops import signin
from billingops.actors import Actor
from billingops.journal import Note, note


class LoggedTokenAuthentication(TokenAuthentication):
    def authenticate(self, request: Request) -> Any:
        try:
            return super().authenticate(request)
        except AuthenticationFailed:
            if signin.token_refused(request._request) <= signin.MAX_FAILURES["address"]:
                note(Note("login.token_refused", f"user:{self._owner(request)}", Actor.system("sign-in")))
            raise

    def _owner(self, request: Request) -> Any:
        """Whose token it is where the user is inactive, "unknown" where there is no such token."""
        key = request.headers.get("Authorization", "").partition(" ")[2].strip()[:64]
        if not key.isascii() or not key.isalnum():
            return "unknown"
        return Token.objects.filter(key=key).values_list("user_id", flat=True).first() or "unknown"
