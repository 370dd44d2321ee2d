"""Settings: what differs between machines comes from the environment."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url

from mysite.secret import key_in

BASE_DIR = Path(__file__).resolve().parent.parent
DEBUG = False

# The build hook needs no key, so none is made where there is no DATA_DIR; without one, Django
# refuses to sign anything.
SECRET_KEY = os.environ.get("SECRET_KEY", "")
if not SECRET_KEY and (data := os.environ.get("DATA_DIR")):
    SECRET_KEY = key_in(Path(data))

# Names and addresses: HOSTEL_DOMAINS is "example.com,www.example.com", HOSTEL_URL the first
# address of the site, such as https://localhost:8443.

url = urlsplit(os.environ.get("HOSTEL_URL", ""))
domains = [name for name in os.environ.get("HOSTEL_DOMAINS", "").split(",") if name]
ALLOWED_HOSTS = [*domains, "localhost", "127.0.0.1", "[::1]"]
if url.hostname and url.hostname not in ALLOWED_HOSTS:
    ALLOWED_HOSTS.append(url.hostname)

# The site's own httpd speaks TLS, so request.is_secure() is true of itself: there is no proxy
# header to trust.
CSRF_TRUSTED_ORIGINS = [f"https://{url.netloc}"] if url.scheme == "https" else []
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE = url.scheme == "https"

ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "notes",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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

# A small pool for each process; connections that a restart of PostgreSQL broke are replaced.

DATABASES = {}
if address := os.environ.get("DATABASE_URL"):
    database = dj_database_url.parse(address, conn_health_checks=True)
    database.setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": 4, "timeout": 5}
    DATABASES["default"] = database
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

TIME_ZONE = "UTC"

# Names with a digest of the content in them, so browsers may keep the files for good.

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
    },
}

# Errors go to stderr, with their tracebacks: that is the error log of the site.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "plain", "level": "ERROR"},
    },
    "root": {"handlers": ["stderr"]},
    "loggers": {"django": {"handlers": ["stderr"], "propagate": False}},
}
