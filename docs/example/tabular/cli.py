"""`polyhead tabular`: sample, train, predict, evaluate."""

from apps.common_verbs import common_verbs
from tabular.application import TABULAR

app = common_verbs(TABULAR, "tabular.work")
