"""The settings, read from the environment. Every variable and its default stands in README.md and the design.

Without any variable this is the embedded set-up: SQLite under var/, the queue in the database, the sandbox for Stripe,
the built-in rules in place of a model. checks.py refuses what would be unsafe with a live key.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("BILLINGOPS_VAR", BASE_DIR / "var"))


def env_bool(name: str, default: bool = False) -> bool:
    value = os.environ.get(name, "").strip().lower()
    return default if not value else value in {"1", "true", "yes", "on"}


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def env_int(name: str, default: int) -> int:
    raw = os.environ.get(name, "").strip()
    try:
        return int(raw) if raw else default
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r} is not a whole number; unset it for the default {default}.")


def env_amounts(name: str, default: str) -> dict[str, int]:
    """`usd:500000,eur:500000` as {"usd": 500000, …}: whole minor units per lower-case currency."""
    pairs = [part.partition(":") for part in env_list(name, default)]
    for currency, _, amount in pairs:
        if not (
            len(currency) == 3 and currency.isascii() and currency.islower() and amount.isascii() and amount.isdigit()
        ):
            raise ImproperlyConfigured(f"{name} is not of the form usd:500000,eur:500000 (minor units per currency).")
    return {currency: int(amount) for currency, _, amount in pairs}


# -- Django ------------------------------------------------------------------------------------------------------------
INSECURE_SECRET_KEY = "insecure-development-key-set-DJANGO_SECRET_KEY"  # noqa: S105  (checks.py refuses it when live)
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", INSECURE_SECRET_KEY)
# Former keys, while one replaces another: what was signed or sealed under them can still be read.
SECRET_KEY_FALLBACKS = env_list("DJANGO_SECRET_KEY_FALLBACKS")
DEBUG = env_bool("DJANGO_DEBUG")
ALLOWED_HOSTS = env_list("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("DJANGO_CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    # Ours come first: our commands and templates override those of the packages below.
    "billingops.apps.BillingOpsConfig",
    "billingops.stripe.apps.MirrorConfig",
    "billingops.inbox.apps.InboxConfig",
    "billingops.llm.apps.LLMConfig",
    "billingops.brands.apps.BrandsConfig",
    "billingops.outbound.apps.OutboundConfig",
    "approvals.apps.ApprovalsConfig",
    "settlements.apps.SettlementsConfig",
    "settlements.ledger.apps.LedgerConfig",
    "settlements.reconciliation.apps.ReconciliationConfig",
    "settlements.forecast.apps.ForecastConfig",
    "settlements.risk.apps.RiskConfig",
    "dunning.apps.DunningConfig",
    "dunning.campaigns.apps.CampaignsConfig",
    "dunning.contact.apps.ContactConfig",
    "support.apps.SupportConfig",
    "sandbox.apps.SandboxConfig",
    "demo.apps.DemoConfig",
    "billingops.apps.BillingOpsAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "simple_history",
    "django_q",
    "djstripe",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "billingops.odd_input.refuse_nul",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "billingops.second_factor.Middleware",
]

ROOT_URLCONF = "billingops.urls"
WSGI_APPLICATION = "billingops.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": dj_database_url.parse(os.environ.get("DATABASE_URL") or f"sqlite:///{VAR_DIR / 'billingops.sqlite3'}")
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    VAR_DIR.mkdir(parents=True, exist_ok=True)
    # IMMEDIATE takes the write lock at BEGIN, so a transaction waits its turn instead of failing half-way; WAL lets
    # readers go on meanwhile.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 30,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
else:
    # The URL's parser has set 0 already: a new connection for every request.
    DATABASES["default"]["CONN_MAX_AGE"] = DATABASES["default"].get("CONN_MAX_AGE") or 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["billingops.backends.OneStatementBackend"]
LOGIN_URL = "admin:login"
# off · optional: whoever has set one up is asked before deciding · approvers: nobody decides without. See access.py.
SECOND_FACTOR = os.environ.get("SECOND_FACTOR") or "optional"
if SECOND_FACTOR not in ("off", "optional", "approvers"):
    raise ImproperlyConfigured(f"SECOND_FACTOR={SECOND_FACTOR!r} is not one of off, optional, approvers.")
OTP_TOTP_ISSUER = "BillingOps"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = "billingops.formats"  # dates that sort and cannot be misread
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STATICFILES_DIRS: list[Path] = []
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True  # static files without a collectstatic step on a single machine

# -- Stripe ------------------------------------------------------------------------------------------------------------
# The sandbox key has the form dj-stripe insists on (24 characters and more after the prefix); it opens nothing.
SANDBOX_KEY = "sk_test_billingopssandbox0000000000"
SANDBOX_API_BASE = "http://127.0.0.1:12111"
SANDBOX_WEBHOOK_SECRET = "whsec_sandbox"  # noqa: S105  (known to everybody; checks.py refuses it with a real key)
STRIPE_SECRET_KEY = os.environ.get("STRIPE_SECRET_KEY") or SANDBOX_KEY
STRIPE_WRITE_KEY = os.environ.get("STRIPE_WRITE_KEY") or STRIPE_SECRET_KEY
STRIPE_IS_SANDBOX = STRIPE_SECRET_KEY == SANDBOX_KEY
STRIPE_LIVE_MODE = any(key.startswith(("sk_live_", "rk_live_")) for key in (STRIPE_SECRET_KEY, STRIPE_WRITE_KEY))
STRIPE_API_BASE = os.environ.get("STRIPE_API_BASE") or (
    SANDBOX_API_BASE if STRIPE_IS_SANDBOX else "https://api.stripe.com"
)
# dj-stripe and the SDK otherwise each take their own; payloads of other versions are read all the same (reader.py).
STRIPE_API_VERSION = os.environ.get("STRIPE_API_VERSION") or "2026-08-26.dahlia"
STRIPE_WEBHOOK_SECRETS = env_list("STRIPE_WEBHOOK_SECRETS", SANDBOX_WEBHOOK_SECRET if STRIPE_IS_SANDBOX else "")
STRIPE_TIMEOUT_SECONDS = env_int("STRIPE_TIMEOUT_SECONDS", 20)
# Stripe allows 100 requests a second live and 25 in test mode; the rest is left to others. 0: no limit.
STRIPE_READS_PER_SECOND = env_int("STRIPE_READS_PER_SECOND", 0 if STRIPE_IS_SANDBOX else 80 if STRIPE_LIVE_MODE else 20)

DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
# dj-stripe's three migrations remove 520 fields one by one and take over a minute; ours makes the same tables in
# seconds and records theirs as applied, so dropping this line later continues on its own path (docs/decisions/0013).
MIGRATION_MODULES = {"djstripe": "billingops.stripe.djstripe_migrations"}
DJSTRIPE_SUBSCRIBER_MODEL = "billingops.Subscriber"  # a platform's customer, never a member of staff
# dj-stripe reads these names for its own helpers; our receive view does not use its secrets.
STRIPE_TEST_SECRET_KEY = "" if STRIPE_LIVE_MODE else STRIPE_SECRET_KEY
STRIPE_LIVE_SECRET_KEY = STRIPE_SECRET_KEY if STRIPE_LIVE_MODE else ""

# -- inbox -------------------------------------------------------------------------------------------------------------
INBOX_MAX_BODY_BYTES = 1024 * 1024
INBOX_SIGNATURE_TOLERANCE_SECONDS = 300
INBOX_BATCH_SIZE = env_int("INBOX_BATCH_SIZE", 500)
INBOX_MAX_ATTEMPTS = env_int("INBOX_MAX_ATTEMPTS", 6)
INBOX_OUTAGE_PATIENCE_HOURS = env_int("INBOX_OUTAGE_PATIENCE_HOURS", 72)  # before Stripe's silence parks an event
INBOX_LEASE_SECONDS = env_int("INBOX_LEASE_SECONDS", 300)  # after this long a claimed event belongs to a dead worker
INBOX_RETENTION_DAYS = env_int("INBOX_RETENTION_DAYS", 400)  # of handled events; books are kept for longer
INBOX_WAKER = "thread"  # "off" where tests drain by hand

# -- the queue ---------------------------------------------------------------------------------------------------------
REDIS_URL = os.environ.get("REDIS_URL", "")
_IS_SQLITE = DATABASES["default"]["ENGINE"].endswith("sqlite3")
_WORKERS = 1 if _IS_SQLITE else env_int("WORKERS", 2)
Q_CLUSTER = {
    "name": "billingops",
    "workers": _WORKERS,
    "queue_limit": _WORKERS,  # a larger buffer holds tasks whose retry clock already runs: they would run twice
    "bulk": 1,
    "timeout": 120,
    "retry": 400,  # at least three times the timeout, see FACTS: a task that is only slow must not be handed out again
    "max_attempts": 5,
    "ack_failures": True,  # our own rows count attempts; the queue only delivers
    "catch_up": False,
    "save_limit": 250,
    "poll": 0.2,
    "label": "Worker",
    **({"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}),
}

# -- the model ---------------------------------------------------------------------------------------------------------
OPENAI_API_KEY = os.environ.get("OPENAI_API_KEY", "")
OPENAI_BASE_URL = os.environ.get("OPENAI_BASE_URL", "")
OPENAI_MODEL = os.environ.get("OPENAI_MODEL", "")
OPENAI_TIMEOUT_SECONDS = env_int("OPENAI_TIMEOUT_SECONDS", 30)
OPENAI_MAX_TOKENS = env_int("OPENAI_MAX_TOKENS", 700)
LLM_DAILY_TOKENS = env_int("LLM_DAILY_TOKENS", 2_000_000)  # per agent and UTC day; after that the rules answer
LLM_DAILY_COST_CENTS = env_int("LLM_DAILY_COST_CENTS", 0)  # the same in money (US cents, prices.json); 0: no limit

# -- mail --------------------------------------------------------------------------------------------------------------
EMAIL_URL = os.environ.get("EMAIL_URL", "")
DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", "billing@localhost")
if EMAIL_URL:
    from urllib.parse import unquote, urlsplit

    _mail = urlsplit(EMAIL_URL)
    if _mail.scheme not in {"smtp", "smtps", "smtp+tls", "console", "file"} and not _mail.scheme.startswith("anymail+"):
        raise ImproperlyConfigured(
            "EMAIL_URL must start with smtp://, smtp+tls://, smtps://, anymail+<provider>://, file:// or console://"
        )
    if _mail.scheme.startswith("anymail+"):
        from importlib.util import find_spec

        _provider = _mail.scheme.removeprefix("anymail+").replace("-", "_")  # a scheme has no underscores
        if not _provider.isidentifier() or find_spec(f"anymail.backends.{_provider}") is None:
            raise ImproperlyConfigured(f"EMAIL_URL names {_provider!r}, which django-anymail does not know.")
        EMAIL_BACKEND = f"anymail.backends.{_provider}.EmailBackend"
    elif _mail.scheme == "console":
        EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    elif _mail.scheme == "file":
        EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
        EMAIL_FILE_PATH = _mail.path
    else:
        EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        EMAIL_HOST, EMAIL_PORT = _mail.hostname or "localhost", _mail.port or (465 if _mail.scheme == "smtps" else 25)
        EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
        EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.scheme == "smtps", _mail.scheme == "smtp+tls"
else:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
EMAIL_TIMEOUT = 20
# A provider's keys are ANYMAIL_* in the environment, named as its documentation names the settings: with
# EMAIL_URL=anymail+postmark:// ANYMAIL_POSTMARK_SERVER_TOKEN. REQUESTS_TIMEOUT: no call without an end.
ANYMAIL: dict[str, object] = {
    **{name.removeprefix("ANYMAIL_"): value for name, value in os.environ.items() if name.startswith("ANYMAIL_")},
    "REQUESTS_TIMEOUT": (10, 30),
    "IGNORE_RECIPIENT_STATUS": False,
}
# Where people reach the back office, for links in mails; see approvals/summary.py.
BASE_URL = os.environ.get("BASE_URL", "")
SUMMARY_HOUR = env_int("SUMMARY_HOUR", 6)  # UTC: the daily summary is not sent before

# -- API ---------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "billingops.token_auth.LoggedTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["billingops.api_access.StaffInAGroup"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "EXCEPTION_HANDLER": "billingops.rest.handle_exception",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "BillingOps",
    "VERSION": "v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["billingops.api_access.StaffInAGroup"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "SuggestionStateEnum": "approvals.states.State",
        "PayoutRecordStateEnum": "settlements.states.PayoutState",
        "ReconciliationStateEnum": "settlements.reconciliation.states.State",
        "DunningCaseStateEnum": "dunning.states.CaseState",
        "JournalEntryKindEnum": "settlements.ledger.accounts.Kind",
    },
}

# -- security ----------------------------------------------------------------------------------------------------------
# HTTPS is asked for as soon as a key is live; behind a proxy that ends TLS, set DJANGO_BEHIND_PROXY as well.
_SECURE = env_bool("DJANGO_SECURE", default=STRIPE_LIVE_MODE)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _SECURE
SECURE_HSTS_SECONDS = 31536000 if _SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _SECURE
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env_bool("DJANGO_BEHIND_PROXY") else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000

SIMPLE_HISTORY_REVERT_DISABLED = True
SIMPLE_HISTORY_HISTORY_CHANGE_REASON_USE_TEXT_FIELD = True

# -- the domain's own dials --------------------------------------------------------------------------------------------
SUGGESTION_EXPIRES_DAYS = env_int("SUGGESTION_EXPIRES_DAYS", 30)
# Local hours in which no customer is written to: "20-8", or "off".
_quiet = os.environ.get("DUNNING_QUIET_HOURS") or "20-8"
if not re.fullmatch(r"off|([01]?[0-9]|2[0-4])-([01]?[0-9]|2[0-4])", _quiet):
    raise ImproperlyConfigured(f"DUNNING_QUIET_HOURS is {_quiet!r}; write 20-8 (o'clock) or off.")
_quiet_from, _quiet_until = (0, 0) if _quiet == "off" else (int(hour) for hour in _quiet.split("-"))
# What dunning/config.py offers beside these has defaults worth keeping.
DUNNING = {
    "quiet_from": _quiet_from,
    "quiet_until": _quiet_until,
    "portal_return_url": os.environ.get("PORTAL_RETURN_URL") or "http://localhost/",
    "retry_beside_stripe": env_bool("DUNNING_RETRY_BESIDE_STRIPE"),  # off: Smart Retries have the networks' budget
}
# What dunning/contact/config.py offers beside these has defaults worth keeping.
CONTACT = {
    "reply_address": os.environ.get("CONTACT_REPLY_ADDRESS", ""),  # its mail server takes part+anything@
    "reply_days": env_int("CONTACT_REPLY_DAYS", 180),  # after these the words of a customer's answer are deleted
    "providers": tuple(env_list("MAIL_REPORTS_FROM")),  # postmark, mailgun, …: their reports are let in, checked
}
EXECUTION_STUCK_SECONDS = env_int(
    "EXECUTION_STUCK_SECONDS", 180
)  # above the task timeout: a live worker is never overtaken
# "Stripe has nothing of it" is believed only this long after the call ended: it may still have been on its way.
EXECUTION_LOOKUP_SECONDS = env_int("EXECUTION_LOOKUP_SECONDS", 60)
# A payout above this is flagged for a second look: minor units per currency, "usd:500000,eur:500000,jpy:500000".
PAYOUT_FLAG_OVER = env_amounts("PAYOUT_FLAG_OVER", "usd:500000,eur:500000,gbp:500000,jpy:500000")
# How long an open finding is looked at again by itself; after that a person, an import or an event has to.
FINDING_RECHECK_DAYS = env_int("FINDING_RECHECK_DAYS", 30)
FORECAST_KEEP_DAYS = env_int("FORECAST_KEEP_DAYS", 120)  # old forecasts, for comparing with what happened
# How long one side of a movement waits for the other, and how far apart a match by amount may be (reconciliation).
RECONCILIATION_TRANSACTION_GRACE_HOURS = env_int("RECONCILIATION_TRANSACTION_GRACE_HOURS", 6)
RECONCILIATION_ENTRY_GRACE_DAYS = env_int("RECONCILIATION_ENTRY_GRACE_DAYS", 3)
RECONCILIATION_MATCH_DAYS = env_int("RECONCILIATION_MATCH_DAYS", 3)
RECONCILIATION_TOLERANCE = env_amounts("RECONCILIATION_TOLERANCE", "")
RECONCILIATION_WRITE_OFF_LIMIT = env_amounts("RECONCILIATION_WRITE_OFF_LIMIT", "usd:1000,eur:1000")

# -- outgoing webhooks -------------------------------------------------------------------------------------------------
# Networks beside the public Internet that may be sent to, and without TLS as well: 10.1.2.0/24,127.0.0.1/32
OUTBOUND_ALLOW_PRIVATE = env_list("OUTBOUND_ALLOW_PRIVATE")
OUTBOUND_RETENTION_DAYS = env_int("OUTBOUND_RETENTION_DAYS", 90)  # of events, deliveries and attempts
OUTBOUND_PAUSE_AFTER_DAYS = env_int("OUTBOUND_PAUSE_AFTER_DAYS", 3)  # without one 2xx; then a person looks at it

# -- the audit log -----------------------------------------------------------------------------------------------------
AUDIT_SIGNING_KEY = os.environ.get("AUDIT_SIGNING_KEY", "")  # a file or base64; signs checkpoints of the log
AUDIT_PUBLIC_KEYS = env_list("AUDIT_PUBLIC_KEYS")  # of former signing keys, so that their checkpoints still count
AUDIT_CHECKPOINT_DIR = os.environ.get("AUDIT_CHECKPOINT_DIR", "")  # set: the worker writes a checkpoint a day

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "INFO")},
    # The SDK logs request parameters at INFO and below; they carry personal data.
    "loggers": {name: {"level": "WARNING"} for name in ("stripe", "openai", "httpx2", "django-q")},
}
