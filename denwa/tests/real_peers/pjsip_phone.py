"""PJSIP as a telephone that is steered by lines: `dial URI`, `attend N M`, `quit`; calls are numbered as they come. It
lifts by itself, does as it is asked by REFER, and says what it sees.
Arguments: registrar, user, password, SIP port, first RTP port."""
import select, sys
import pjsua2 as pj

registrar, user, password, sip_port, rtp_port = sys.argv[1:6]
calls = []


def say(*words):
    print(*words, flush=True)


def answer(status):
    parameters = pj.CallOpParam(True)
    parameters.statusCode = status
    return parameters


class Call(pj.Call):
    def __init__(self, account, number=pj.PJSUA_INVALID_ID):
        super().__init__(account, number)
        self.account, self.index = account, len(calls)
        calls.append(self)

    def onCallState(self, prm):
        info = self.getInfo()
        say("call", self.index, info.stateText, info.lastStatusCode)

    def onCallTransferRequest(self, prm):
        prm.newCall = Call(self.account)

    def onCallReplaceRequest(self, prm):
        say("call", self.index, "is replaced")

    def onCallReplaced(self, prm):
        # The library knows the new call by its number; we give it a place among ours.
        Call(self.account, prm.newCallId)

    def onCallTransferStatus(self, prm):
        say("call", self.index, "transfer", prm.statusCode)
        if prm.finalNotify and prm.statusCode == 200:
            say("transferred")
            self.hangup(answer(0))


class Account(pj.Account):
    def onRegState(self, prm):
        if prm.code == 200:
            say("registered")

    def onIncomingCall(self, prm):
        Call(self, prm.callId).answer(answer(200))


library = pj.Endpoint()
library.libCreate()
settings = pj.EpConfig()
settings.uaConfig.threadCnt = 0
settings.uaConfig.mainThreadOnly = True
settings.logConfig.consoleLevel = 4
library.libInit(settings)
transport = pj.TransportConfig()
transport.boundAddress, transport.port = "127.0.0.1", int(sip_port)
library.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
library.libStart()
# No sound at all: it is about signalling.
library.audDevManager().setNoDev()
settings = pj.AccountConfig()
settings.idUri = f"sip:{user}@{registrar}"
settings.regConfig.registrarUri = f"sip:{registrar}"
settings.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, password))
settings.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
settings.mediaConfig.transportConfig.port = int(rtp_port)
account = Account()
account.create(settings)
while True:
    library.libHandleEvents(20)
    if not select.select([sys.stdin], [], [], 0)[0]:
        continue
    words = sys.stdin.readline().split()
    if not words or words[0] == "quit":
        break
    if words[0] == "dial":
        Call(account).makeCall(words[1], answer(0))
    elif words[0] == "attend":
        calls[int(words[1])].xferReplaces(calls[int(words[2])], answer(0))
library.libDestroy()
