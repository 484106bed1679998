"""The app does not answer."""

from backstay.app.guides.inside import INSIDE
from backstay.core.guide import Symptom
from backstay.core.process_guide import process_guide

APP_DEAD = process_guide(
    "app",
    seed="codeai: Lifecycle",
    symptoms=(
        Symptom("text", r"/api/v1.*(50[234]|refused|unreachable)", "the app's routes fail"),
        Symptom("text", r"codeai.*(refused|not reachable|unreachable|no answer)", "no app"),
    ),
    keeps="accepted work is in app.db; executions go on where they were once it runs again",
    inside=INSIDE,
)
