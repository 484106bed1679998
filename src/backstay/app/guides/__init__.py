"""Troubleshooting guides of the app: its process, its database, the services it calls."""

from backstay.app.guides.database import APP_DATABASE
from backstay.app.guides.integration import INTEGRATION
from backstay.app.guides.process import APP_DEAD
from backstay.app.guides.program import PROGRAM, QUERY
from backstay.core.guide import Guide

GUIDES: tuple[Guide, ...] = (APP_DEAD, APP_DATABASE, INTEGRATION, PROGRAM, QUERY)
