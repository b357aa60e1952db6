"""What customers and mail providers reach without a log-in."""

from django.urls import path

from dunning.contact import views

app_name = "contact"
urlpatterns = [
    path("unsubscribe/<str:token>/", views.unsubscribe, name="unsubscribe"),
    path("mail/<slug:provider>/<slug:purpose>/", views.from_provider, name="from_provider"),
]
