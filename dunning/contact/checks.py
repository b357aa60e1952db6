"""System checks: what is set up for contact must be able to work, and must not let anybody in unchecked."""

from __future__ import annotations

from email.utils import parseaddr
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from dunning.contact import config, providers


@register()
def contact_settings(**kwargs: Any) -> list[CheckMessage]:
    try:
        given = config.current()
    except ImproperlyConfigured as problem:
        return [Error(str(problem), id="contact.E001")]
    found: list[CheckMessage] = []
    if given.reply_address and parseaddr(given.reply_address)[1].count("@") != 1:
        found.append(Error(f"CONTACT reply_address {given.reply_address!r} is no address.", id="contact.E002"))
    known = providers.known()
    for name in given.providers:
        if name not in known:
            hint = f"Anymail knows {', '.join(sorted(known))}."
            found.append(Error(f"CONTACT names a mail provider {name!r}.", hint=hint, id="contact.E003"))
        elif providers.view_of(name, "tracking") is None:
            hint = "Set ANYMAIL['WEBHOOK_SECRET'], or the signing key (and package) that anymail's page on it names."
            text = f"Reports of {name} would be let in unchecked, so they are not let in."
            found.append(Error(text, hint=hint, id="contact.E004"))
    return found
