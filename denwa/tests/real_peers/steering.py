"""How a telephone is steered by lines: `dial URI`; `attend N M`, which passes the peer of one call on to that of another;
`quit`. Calls are numbered as they come. Arguments of each telephone: registrar, user, password, SIP port, first RTP port."""
import sys

registrar, user, password, sip_port, rtp_port = sys.argv[1:6]
sip_port, rtp_port = int(sip_port), int(rtp_port)
calls = []


def say(*words):
    print(*words, flush=True)


def next_order():
    """What the next line asks for and with what; nothing when it is time to go."""
    match sys.stdin.readline().split():
        case ["dial", uri]:
            return "dial", [uri]
        case ["attend", one, other]:
            return "attend", [calls[int(one)], calls[int(other)]]
