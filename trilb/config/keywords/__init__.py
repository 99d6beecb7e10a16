"""The keywords of each section, one module a family; importing this package registers them all."""

from trilb.config.keywords import (
    globals as globals,
    lists as lists,
    logs as logs,
    persist as persist,
    proxies as proxies,
    rules as rules,
    stats as stats,
    traffic as traffic,
)
