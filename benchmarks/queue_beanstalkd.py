"""beanstalkd under the load tool: a job is put, reserved and deleted, each as one line of its own
protocol. Its log is synced at every write, as our store is."""

from contextlib import AbstractContextManager

from queue_load import Connection, Process, running

PAYLOAD = b'{"order": 4711, "items": ["a pen", "a book"], "gift": true}'
PUT = b"put 0 0 60 %d\r\n%s\r\n" % (len(PAYLOAD), PAYLOAD)


class Beanstalk(Connection):
    """An answer is one line; that of a reserve is followed by the job."""

    def length(self, have: bytes) -> int:
        end = have.find(b"\r\n") + 2
        if end < 2 or not have.startswith(b"RESERVED"):
            return end if end >= 2 else 0
        return end + int(have[:end].split()[2]) + 2


async def job(connection: Connection) -> int:
    """put, reserve, delete: three requests."""
    if not (await connection.ask(PUT)).startswith(b"INSERTED"):
        raise SystemExit("put failed")
    answer = await connection.ask(b"reserve\r\n")
    id_ = answer.split(b" ", 2)[1]
    if not (await connection.ask(b"delete %s\r\n" % id_)).startswith(b"DELETED"):
        raise SystemExit("delete failed")
    return 1


def beanstalkd() -> AbstractContextManager[Process]:
    """A fresh one."""
    return running(
        lambda data, port: [
            *("beanstalkd", "-l", "127.0.0.1", "-p", str(port)),
            *("-b", str(data), "-f", "0"),
        ]
    )
