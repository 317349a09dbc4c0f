"""One end of a call by aiortc: a tone of 440 Hz goes out, what comes in is told when there is enough of it."""
import array, asyncio, fractions, json, math, sys, time
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from av import AudioFrame

RATE, SAMPLES = 8000, 160


class Tone(MediaStreamTrack):
    kind = "audio"

    def __init__(self):
        super().__init__()
        self.sent, self.begun = 0, None

    async def recv(self):
        self.begun = self.begun or time.monotonic()
        await asyncio.sleep(max(0, self.begun + self.sent / RATE - time.monotonic()))
        wave = (int(10000 * math.sin(math.tau * 440 * (self.sent + n) / RATE)) for n in range(SAMPLES))
        frame = AudioFrame(format="s16", layout="mono", samples=SAMPLES)
        frame.planes[0].update(array.array("h", wave).tobytes())
        frame.pts, frame.sample_rate, frame.time_base = self.sent, RATE, fractions.Fraction(1, RATE)
        self.sent += SAMPLES
        return frame


def tell(what):
    print(json.dumps(what), flush=True)


async def hear():
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return json.loads(line)


async def main():
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    coming = asyncio.get_running_loop().create_future()
    connection.on("track", coming.set_result)
    if sys.argv[1] == "offers":
        connection.addTrack(Tone())
        await connection.setLocalDescription(await connection.createOffer())
        tell(connection.localDescription.sdp)
        await connection.setRemoteDescription(RTCSessionDescription(await hear(), "answer"))
    else:
        await connection.setRemoteDescription(RTCSessionDescription(await hear(), "offer"))
        connection.addTrack(Tone())
        await connection.setLocalDescription(await connection.createAnswer())
        tell(connection.localDescription.sdp)
    track, heard, rate = await coming, [], RATE
    while True:
        frame = await track.recv()
        rate = frame.sample_rate
        samples = array.array("h", bytes(frame.planes[0])[: frame.samples * 2 * len(frame.layout.channels)])
        heard.extend(samples[:: len(frame.layout.channels)])
        # Told again and again, until whoever listens has heard enough and ends this program.
        if len(heard) >= 4 * rate:
            tell({"state": connection.connectionState, "rate": rate, "heard": heard})
            del heard[:rate]


asyncio.run(main())
