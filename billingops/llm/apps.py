from django.apps import AppConfig

_VIEW = ["llm.view_agentrun"]


class LLMConfig(AppConfig):
    name = "billingops.llm"
    label = "llm"
    verbose_name = "Language model"
    role_permissions = {"Finance": _VIEW, "Finance lead": _VIEW, "Auditor": _VIEW}

    def ready(self) -> None:
        from billingops.config import register_section
        from billingops.llm import checks, config  # noqa: F401  (checks registers itself)

        register_section(config.SECTION)
