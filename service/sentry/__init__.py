"""The sentry feature: failed jobs and errors of the API go to Sentry, where `SENTRY_DSN` is set."""

import os

from service.feature import Feature
from service.sentry.switch import hooks_of

FEATURE = Feature("sentry", hooks=hooks_of(os.environ))
