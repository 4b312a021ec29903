"""The spool between a fast writer and a slow reader."""

from __future__ import annotations

import asyncio
import os
import random

from app.upload.spool import Spool


def test_bytes_come_out_as_they_went_in_whatever_the_pace() -> None:
    random_ = random.Random(0)
    parts = [random_.randbytes(random_.randint(1, 700_000)) for _ in range(30)]

    async def turns() -> None:
        """Let the other side run for a while."""
        for _ in range(random_.randrange(5)):
            await asyncio.sleep(0)

    async def run() -> bytes:
        async with Spool() as spool:

            async def write() -> None:
                for part in parts:
                    await spool.put(part)
                    await turns()
                spool.finish()

            writer = asyncio.create_task(write())
            result = bytearray()
            while data := await spool.get():
                result += data
                await turns()
            await writer
            assert await spool.get() == b""
            return bytes(result)

    assert asyncio.run(run()) == b"".join(parts)


def test_the_file_is_emptied_when_the_reader_has_caught_up() -> None:
    async def run() -> None:
        async with Spool() as spool:
            for _ in range(3):
                await spool.put(b"x" * 1_000)
                assert await spool.get() == b"x" * 1_000
                assert os.fstat(spool._file.fileno()).st_size == 0
            spool.finish()
            assert await spool.get() == b""

    asyncio.run(run())
