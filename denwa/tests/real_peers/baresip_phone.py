"""Today's baresip as a telephone that is steered by lines. It lifts by itself, does as it is asked by REFER, and says what
it sees."""
import asyncio
from baresip import Account, Config
from baresip.runtime import Runtime
from baresip.ua import UserAgent
from steering import calls, next_order, password, registrar, rtp_port, say, sip_port, user


def take(call):
    number = len(calls)
    calls.append(call)

    def told(event):
        say("call", number, event.event.name, event.text or "")

    call.on(told)
    return call


def lift(call):
    asyncio.get_running_loop().create_task(take(call).answer())


async def attend(one, other):
    await one.attended_transfer(other)
    say("transferred")


async def main():
    runtime = Runtime()
    ports = f"sip_listen 127.0.0.1:{sip_port}\nrtp_ports {rtp_port}-{rtp_port + 18}\n"
    await runtime.start(
        Config(net_interface="127.0.0.1", max_concurrent_calls=None, native_log_level="info", extra_config_text=ports)
    )
    account = Account(
        user=user, domain=registrar, password=password, registrar=registrar, transport="udp", audio_codecs=("PCMA",)
    )
    agent = await UserAgent.create(runtime, account, transfer_policy="auto")
    agent.on_incoming(lift)
    agent.on_transfer_call(take)
    await agent.register(timeout=30)
    say("registered")

    async def dial(uri):
        take(await agent.dial(uri))

    while order := await asyncio.get_running_loop().run_in_executor(None, next_order):
        deed, whom = order
        await {"dial": dial, "attend": attend}[deed](*whom)
    await runtime.close()


asyncio.run(main())
