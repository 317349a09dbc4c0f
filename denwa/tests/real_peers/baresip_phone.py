"""Today's baresip as a telephone that is steered by lines: `dial URI`, `attend N M`, `quit`; calls are numbered as they
come. It lifts by itself, does as it is asked by REFER, and says what it sees.
Arguments: registrar, user, password, SIP port, first RTP port."""
import asyncio, sys
from baresip import Account, Config
from baresip.runtime import Runtime
from baresip.ua import UserAgent

registrar, user, password, sip_port, rtp_port = sys.argv[1:6]
calls = []


def say(*words):
    print(*words, flush=True)


def take(call):
    number = len(calls)
    calls.append(call)

    def told(event):
        say("call", number, event.event.name, event.text or "")

    call.on(told)
    return call


def lift(call):
    asyncio.get_running_loop().create_task(take(call).answer())


async def obey(agent, words):
    if words[0] == "dial":
        take(await agent.dial(words[1]))
    elif words[0] == "attend":
        await calls[int(words[1])].attended_transfer(calls[int(words[2])])
        say("transferred")


async def main():
    runtime = Runtime()
    ports = f"sip_listen 127.0.0.1:{sip_port}\nrtp_ports {rtp_port}-{int(rtp_port) + 18}\n"
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
    while words := (await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)).split():
        if words[0] == "quit":
            break
        await obey(agent, words)
    await runtime.close()


asyncio.run(main())
