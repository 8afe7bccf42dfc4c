"""The features of this product, one line for each. Whoever learns of a feature learns of it here."""

from service import files, mail, stats
from service.feature import Feature

FEATURES: tuple[Feature, ...] = (
    mail.FEATURE,
    stats.FEATURE,
    files.FEATURE,
)
