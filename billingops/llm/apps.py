from django.apps import AppConfig


class LLMConfig(AppConfig):
    name = "billingops.llm"
    label = "llm"
    verbose_name = "Language model"

    def ready(self) -> None:
        from billingops.llm import checks  # noqa: F401  (registers the system checks)
