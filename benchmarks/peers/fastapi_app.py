"""The same three endpoints in FastAPI and SQLAlchemy, as their documentation shows them."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import jwt
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Numeric, String, Text, event, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import DateTime, Uuid

SECRET = os.environ["JWT_SECRET"]
URL = os.environ["DATABASE_URL"]
# SQLite has one writer: with many connections some wait for it longer than a client does.
engine = create_async_engine(URL, pool_size=4 if "sqlite" in URL else 25, max_overflow=0)
if engine.dialect.name == "sqlite":

    @event.listens_for(engine.sync_engine, "connect")
    def durable(connection: Any, _record: Any) -> None:
        for setting in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 10000"):
            connection.execute(f"PRAGMA {setting}").close()


sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    owner: Mapped[str] = mapped_column(String)
    name: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(Text, default="open")
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    made: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), default=lambda: datetime.now(UTC)
    )


class NewItem(BaseModel):
    name: str = Field(min_length=1, max_length=80)
    price: Decimal = Field(ge=0, max_digits=10, decimal_places=2)


class Shown(NewItem):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    owner: str
    state: Literal["open", "done"]
    made: datetime


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as open_:
        yield open_


def user(authorization: Annotated[str, Header()]) -> str:
    try:
        token = authorization.removeprefix("Bearer ")
        claims = jwt.decode(token, SECRET, ["HS256"], audience="backstay", issuer="backstay")
    except jwt.PyJWTError as bad:
        raise HTTPException(401, str(bad)) from bad
    return str(claims["sub"])


Db = Annotated[AsyncSession, Depends(session)]
User = Annotated[str, Depends(user)]


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.get("/items/{key}")
async def one(key: uuid.UUID, db: Db, who: User) -> Shown:
    found = await db.scalar(select(Item).where(Item.id == key, Item.owner == who))
    if found is None:
        raise HTTPException(404)
    return Shown.model_validate(found)


@app.get("/items")
async def listed(db: Db, who: User, state: str, limit: int = 20) -> dict[str, list[Shown]]:
    asked = select(Item).where(Item.owner == who, Item.state == state)
    found = await db.scalars(asked.order_by(Item.made.desc(), Item.id).limit(limit))
    return {"data": [Shown.model_validate(each) for each in found]}


@app.post("/items", status_code=201)
async def create(new: NewItem, db: Db, who: User) -> Shown:
    made = Item(owner=who, **new.model_dump())
    db.add(made)
    await db.commit()
    return Shown.model_validate(made)


async def tables() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()


if __name__ == "__main__":
    if sys.argv[1:] == ["tables"]:
        asyncio.run(tables())
        sys.exit()
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False)
