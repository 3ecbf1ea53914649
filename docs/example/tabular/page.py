"""The page: answer a folder of tables, read about the model."""

from apps.common_page import common_page
from tabular.application import TABULAR

render = common_page(
    TABULAR,
    "tabular.work",
    about="Every CSV table of a folder is answered, line by line,",
    asks="Folder or table on the server",
    placeholder="/data/wines",
)
