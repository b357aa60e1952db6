"""Where Stripe posts to; mounted at /stripe/webhook/ by billingops/urls.py."""

from django.urls import path

from billingops.inbox.views import receive

urlpatterns = [path("", receive, name="stripe-webhook")]
