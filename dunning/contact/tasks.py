"""Contact's tasks: have cases looked at again, and let the words of answers go when their time is over."""

from __future__ import annotations

from django.utils import timezone

from billingops import jobs
from billingops.actors import Actor
from dunning.contact import replies, waking

WORKER = Actor.system("contact")
DAY_MINUTES = 24 * 60
ROUNDS = 20  # of replies.BATCH a day


def wake(account: str, customer: str, reason: str) -> int:
    """See waking.later. Safe to run twice."""
    return waking.wake(account=account, customer=customer, reason=reason, actor=WORKER)


@jobs.every(DAY_MINUTES, name="contact-forget-words")
def forget_words() -> int:
    """Delete the words of answers whose time is over, a batch after the other."""
    count = 0
    for _ in range(ROUNDS):
        done = replies.forget_words(now=timezone.now(), actor=WORKER)
        count += done
        if done < replies.BATCH:
            break
    return count
