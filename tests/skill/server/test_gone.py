"""What a client's hanging up does to the work for it, and what it must not be mistaken for."""

import asyncio
from typing import Any

import pytest

from strop.server.forward import until_gone
from strop.server.guard import Gone


def receive_of(hung_up: asyncio.Event) -> Any:
    """An ASGI `receive` that says that the client is gone once the event is set."""

    async def receive() -> dict[str, str]:
        await hung_up.wait()
        return {"type": "http.disconnect"}

    return receive


async def hang(cancelled: list[bool]) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled.append(True)
        raise


def test_work_that_is_done_in_time_is_let_be() -> None:
    async def run() -> list[str]:
        done: list[str] = []
        hung_up = asyncio.Event()

        async def work() -> None:
            await asyncio.sleep(0)
            done.append("work")
            hung_up.set()  # as uvicorn says it at the end of every answer

        await until_gone(receive_of(hung_up), work())
        await asyncio.sleep(0)
        done.append("after")
        return done

    assert asyncio.run(run()) == ["work", "after"]


def test_work_whose_client_hangs_up_is_cancelled_and_the_task_goes_on() -> None:
    async def run() -> list[bool]:
        cancelled: list[bool] = []
        hung_up = asyncio.Event()
        asyncio.get_running_loop().call_soon(hung_up.set)
        with pytest.raises(Gone):
            await until_gone(receive_of(hung_up), hang(cancelled))
        await asyncio.sleep(0)  # would raise where the task were still to be cancelled
        return cancelled

    assert asyncio.run(run()) == [True]


@pytest.mark.parametrize("also_gone", [False, True])
def test_what_is_cancelled_from_elsewhere_stays_cancelled(also_gone: bool) -> None:
    async def run() -> list[bool]:
        cancelled: list[bool] = []
        hung_up = asyncio.Event()
        task = asyncio.create_task(until_gone(receive_of(hung_up), hang(cancelled)))
        await asyncio.sleep(0)
        task.cancel()
        if also_gone:
            hung_up.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return cancelled

    assert asyncio.run(run()) == [True]


def test_an_error_of_the_work_is_its_own() -> None:
    async def fails() -> None:
        raise ValueError("of the work")

    async def run() -> None:
        await until_gone(receive_of(asyncio.Event()), fails())

    with pytest.raises(ValueError, match="of the work"):
        asyncio.run(run())
