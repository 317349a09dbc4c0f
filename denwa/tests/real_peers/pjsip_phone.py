"""PJSIP as a telephone that is steered by lines. It lifts by itself, does as it is asked by REFER, and says what it
sees."""
import select, sys
import pjsua2 as pj
from steering import calls, next_order, password, registrar, rtp_port, say, sip_port, user


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
transport.boundAddress, transport.port = "127.0.0.1", sip_port
library.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
library.libStart()
# No sound at all: it is about signalling.
library.audDevManager().setNoDev()
settings = pj.AccountConfig()
settings.idUri = f"sip:{user}@{registrar}"
settings.regConfig.registrarUri = f"sip:{registrar}"
settings.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, password))
settings.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
settings.mediaConfig.transportConfig.port = rtp_port
account = Account()
account.create(settings)


def dial(uri):
    Call(account).makeCall(uri, answer(0))


def attend(one, other):
    one.xferReplaces(other, answer(0))


order = ()
while order is not None:
    library.libHandleEvents(20)
    if select.select([sys.stdin], [], [], 0)[0] and (order := next_order()):
        deed, whom = order
        {"dial": dial, "attend": attend}[deed](*whom)
library.libDestroy()
