"""The second factor: who has one, whether a person has shown it in this session, and whether deciding asks for it.

`SECOND_FACTOR` (settings): `off` nobody is asked and the pages are gone; `optional` (the default) whoever has set one
up is asked before deciding; `approvers` nobody decides without. Looking never asks. `access.check_may_act` is the door.

The codes, their throttling and the verified state of a session (`user.is_verified()`) are django-otp's. A user object
without `is_verified` did not come through a browser's session: an API token, or a command.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable
from typing import Any

import django_otp
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

from billingops.actors import Actor
from billingops.journal import Note, note
from billingops.models import AccessProfile

OFF, OPTIONAL, APPROVERS = MODES = ("off", "optional", "approvers")
RECOVERY_CODES = 10
_NOTED = "billingops_has_second_factor"


class SecondFactorNeeded(PermissionDenied):
    """The right is there, the second factor is not (yet)."""


def is_on() -> bool:
    return settings.SECOND_FACTOR != OFF


def is_required() -> bool:
    return settings.SECOND_FACTOR == APPROVERS


def is_verified(user: Any) -> bool:
    shown: Callable[[], bool] | None = getattr(user, "is_verified", None)
    return bool(shown and shown())


def has_device(user: Any) -> bool:
    """Read once per user object; recovery codes alone are no second factor."""
    if not hasattr(user, "_billingops_has_device"):
        user._billingops_has_device = bool(user.pk) and devices(user).filter(confirmed=True).exists()
    found: bool = user._billingops_has_device
    return found


def devices(user: Any) -> Any:
    from django_otp.plugins.otp_totp.models import TOTPDevice

    return TOTPDevice.objects.filter(user=user.pk)


def _recovery(user: Any) -> Any:
    from django_otp.plugins.otp_static.models import StaticDevice

    return StaticDevice.objects.filter(user=user.pk)


def why_not(user: Any) -> str:
    """Why `user` may not decide just now, "" when the second factor does not stand in the way."""
    if not is_on() or is_verified(user):
        return ""
    if settings.SECOND_FACTOR == OPTIONAL and not has_device(user):
        return ""
    if not hasattr(user, "is_verified"):
        if AccessProfile.objects.filter(user=user.pk, is_service=True).exists():
            return ""
        return "An API token shows no second factor: decide in the back office, or use a service account's token."
    if has_device(user):
        return "Enter the code of your second factor first."
    return "Deciding asks for a second factor: set yours up first."


def carry(user: Any) -> None:
    """For a job that goes on with what a person began in a session where they had shown it: it counts as shown."""
    user.is_verified = lambda: True


def at_log_in(request: HttpRequest) -> bool:
    """Whether the person who has just logged in has a device, noted in the session so that pages need not ask again."""
    if not is_on() or not request.user.is_authenticated or not has_device(request.user):
        return False
    request.session[_NOTED] = True
    return True


def would_ask(request: HttpRequest) -> bool:
    """For the strip on every page, without a statement: whether deciding would lead to the code's page first."""
    user: Any = request.user
    if not is_on() or is_verified(user) or not user.has_perm("approvals.approve_suggestion"):
        return False
    return is_required() or bool(request.session.get(_NOTED))


def ask(user: Any) -> None:
    """Remember on the request's user that a verb was refused for want of the second factor; see the middleware."""
    user._billingops_second_factor_asked = True


# -- setting up, showing, resetting ------------------------------------------------------------------------------------


def begin(user: Any) -> Any:
    """A new device that waits for its first code; an earlier one that never got it is dropped."""
    from django_otp.plugins.otp_totp.models import TOTPDevice

    with transaction.atomic():
        for unfinished in devices(user).filter(confirmed=False):
            unfinished.delete()
        return TOTPDevice.objects.create(user_id=user.pk, name="Authenticator app", confirmed=False)


def waiting_device(user: Any) -> Any:
    """The device whose first code is still to come, or None."""
    return devices(user).filter(confirmed=False).order_by("-pk").first()


def typed_key(device: Any) -> list[str]:
    """The secret as an app takes it by hand: base 32, in groups of four."""
    text = b32encode(device.bin_key).decode().rstrip("=")
    return [text[start : start + 4] for start in range(0, len(text), 4)]


def confirm(request: HttpRequest, code: str) -> list[str]:
    """The first code of the device that waits: it is confirmed, the session verified, earlier devices go.

    Returns the recovery codes, to be shown this once; empty when the code is wrong.
    """
    user: Any = request.user
    waiting = waiting_device(user)
    if waiting is None or not (device := django_otp.verify_token(user, waiting.persistent_id, code)):
        return []
    with transaction.atomic():
        for earlier in devices(user).exclude(pk=device.pk):
            earlier.delete()
        device.confirmed = True
        device.save()
        codes = new_recovery_codes(user)
    _verified(request, device)
    return codes


def new_recovery_codes(user: Any) -> list[str]:
    """Each is good once; the ones before are good no more."""
    from django_otp.plugins.otp_static.models import StaticDevice, StaticToken

    with transaction.atomic():
        for earlier in _recovery(user):
            earlier.delete()
        device = StaticDevice.objects.create(user_id=user.pk, name="Recovery codes")
        codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
        for code in codes:
            device.token_set.create(token=code)
    return codes


def verify(request: HttpRequest, code: str) -> str:
    """Check a code of the app, or a recovery code. "" when the session is verified now, else the sentence why not."""
    user: Any = request.user
    code = code.replace(" ", "").replace("-", "").lower()
    found = devices(user).filter(confirmed=True) if code.isdecimal() else _recovery(user)
    device = found.first()
    if device is None:
        return "You have not set up a second factor yet." if not has_device(user) else "That code is not right."
    allowed, _ = device.verify_is_allowed()
    if not allowed:
        return "Too many wrong codes: wait a little, then try the next code."
    if not (verified := django_otp.verify_token(user, device.persistent_id, code)):
        note(Note("login.code_refused", f"user:{user.pk}", Actor.person(user), {"recovery": not code.isdecimal()}))
        return "That code is not right, or was used already. Wait for the next one."
    _verified(request, verified)
    return ""


def _verified(request: HttpRequest, device: Any) -> None:
    request.session.cycle_key()  # a session id known from before does not become a verified one
    django_otp.login(request, device)


def people_with_one() -> list[Any]:
    """Active users with a device, by name."""
    users = get_user_model()._default_manager.filter(is_active=True, totpdevice__confirmed=True)
    return list(users.distinct().order_by("username"))


def reset(user: Any) -> None:
    """Take every device and recovery code of `user` away, one by one: each leaves its signal."""
    with transaction.atomic():
        for device in [*devices(user), *_recovery(user)]:
            device.delete()


# -- back to where one was ---------------------------------------------------------------------------------------------


def safe_next(request: HttpRequest, target: str) -> str:
    safe = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if target and safe else reverse("admin:index")


def verify_url(back: str) -> str:
    return f"{reverse('admin:second_factor_verify')}?{urlencode({'next': back})}"


class Middleware:
    """A page's step that was refused for want of the second factor leads to where it is entered, and back again.

    The refusal itself is not here: the verb has refused already and nothing was changed. The API keeps its 403.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        user: Any = getattr(request, "user", None)
        if (
            request.method == "POST"
            and request.path.startswith(reverse("admin:index"))
            and getattr(user, "_billingops_second_factor_asked", False)
        ):
            back = request.POST.get("next") or request.headers.get("referer", "")
            return HttpResponseRedirect(verify_url(safe_next(request, back)))
        return response
