"""The keywords of each section, one module a family; importing this package registers them all."""

from trilb.config.keywords import (
    globals as globals,
)
from trilb.config.keywords import (
    lists as lists,
)
from trilb.config.keywords import (
    logs as logs,
)
from trilb.config.keywords import (
    persist as persist,
)
from trilb.config.keywords import (
    proxies as proxies,
)
from trilb.config.keywords import (
    rules as rules,
)
from trilb.config.keywords import (
    stats as stats,
)
from trilb.config.keywords import (
    traffic as traffic,
)
