"""Troubleshooting guides of the app: process, database, cache, services it calls, workflows."""

from backstay.app.guides.cache import APP_CACHE
from backstay.app.guides.database import APP_DATABASE
from backstay.app.guides.integration import INTEGRATION
from backstay.app.guides.locks import APP_LOCKS
from backstay.app.guides.memory import APP_MEMORY
from backstay.app.guides.postgres import APP_POSTGRES
from backstay.app.guides.process import APP_DEAD
from backstay.app.guides.program import PROGRAM, QUERY
from backstay.app.guides.queries import SLOW_QUERIES
from backstay.app.guides.requests import APP_SLOW
from backstay.app.guides.standing import APP_STANDING
from backstay.app.guides.start import APP_START
from backstay.app.guides.tasks import APP_TASKS
from backstay.app.guides.work import WORK
from backstay.core.guide import Guide

GUIDES: tuple[Guide, ...] = (
    APP_DEAD,
    APP_START,
    APP_DATABASE,
    APP_POSTGRES,
    APP_LOCKS,
    APP_CACHE,
    SLOW_QUERIES,
    APP_SLOW,
    APP_MEMORY,
    APP_TASKS,
    INTEGRATION,
    PROGRAM,
    QUERY,
    WORK,
    APP_STANDING,
)
