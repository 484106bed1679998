"""Troubleshooting guides of the app: process, database, cache, services it calls, workflows."""

from backstay.app.guides.cache import APP_CACHE
from backstay.app.guides.database import APP_DATABASE
from backstay.app.guides.integration import INTEGRATION
from backstay.app.guides.postgres import APP_POSTGRES
from backstay.app.guides.process import APP_DEAD
from backstay.app.guides.program import PROGRAM, QUERY
from backstay.app.guides.queries import SLOW_QUERIES
from backstay.app.guides.work import WORK
from backstay.core.guide import Guide

GUIDES: tuple[Guide, ...] = (
    APP_DEAD,
    APP_DATABASE,
    APP_POSTGRES,
    APP_CACHE,
    SLOW_QUERIES,
    INTEGRATION,
    PROGRAM,
    QUERY,
    WORK,
)
