"""Measures the release build on this machine, beside Kamailio and rtpengine where they are installed, in one run.

Run it in a scratch folder after `cargo build --release -p pbx`; needs sipp. CPU is what the system counts for the processes, in ticks of
10 ms. Both exchanges get the same REGISTERs, the same calls from the same SIPp, and the same voice.
"""
import hashlib, os, pathlib, re, shutil, socket, subprocess, time

HERE = pathlib.Path(__file__).resolve().parent
PBX = str(HERE / "../../target/release/pbx")
SCENARIOS = HERE / "tests/scenarios"
OURS, THEIRS = 48060, 48160
QUIET = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
TICK = os.sysconf("SC_CLK_TCK")


def cpu(*processes):
    """Seconds of CPU that the processes and their children have used."""
    total = 0
    for process in processes:
        family = [process.pid] + [int(child) for child in subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()]
        for pid in family:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def signalling(*processes):
    """The same for our thread of that name alone; nothing for others."""
    total = 0
    for process in processes:
        for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
            name, fields = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            total += sum(map(int, fields.split()[11:13])) if name.startswith("denwa-signallin") else 0
    return total / TICK


def resident(process):
    return next(int(line.split()[1]) for line in open(f"/proc/{process.pid}/status") if line.startswith("VmRSS"))


def options(port, patience):
    """Seconds until an OPTIONS is answered."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.bind(("127.0.0.1", 0))
    probe.settimeout(0.002)
    began = time.time()
    while time.time() < began + patience:
        now = time.time_ns()
        probe.sendto((f"OPTIONS sip:x@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{probe.getsockname()[1]};branch=z9hG4bK{now}\r\n"
                      f"From: <sip:a@b>;tag=1\r\nTo: <sip:x>\r\nCall-ID: o{now}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
                      "Content-Length: 0\r\n\r\n").encode(), ("127.0.0.1", port))
        try:
            probe.recv(4000)
            return time.time() - began
        except (socket.timeout, ConnectionError):
            time.sleep(0.001)
    raise SystemExit(f"nothing answers at {port}")


def start_ours(name, text):
    pathlib.Path(f"{name}.toml").write_text(text)
    process = subprocess.Popen([PBX, "--config", f"{name}.toml"], stdout=subprocess.DEVNULL, stderr=open(f"{name}.log", "w"))
    return process, options(OURS, 20)


def stop(*processes):
    for process in processes:
        process.terminate()
        process.wait()


class Registrations:
    """Telephones that renew what they have: one after the other, many at a time, or as a day goes."""

    def __init__(self, port, numbers=range(1000, 2000)):
        self.port, self.numbers, self.nonces = port, numbers, {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        for begin in range(0, len(numbers), 50):
            some = numbers[begin:begin + 50]
            for sequence in (1, 2):
                for number in some:
                    self.send(self.text(number, sequence, sequence - 1))
                for _ in some:
                    answer = self.socket.recv(8000).decode()
                    number = int(re.search(r"\r\nCall-ID: r(\d+)", answer, re.I).group(1))
                    if sequence == 1:
                        self.nonces[number] = re.search(r'nonce="([^"]+)"', answer).group(1)
                    else:
                        assert " 200 " in answer.split("\r\n")[0], answer

    def text(self, number, sequence, count):
        digest = lambda text: hashlib.md5(text.encode()).hexdigest()
        uri, authorization = f"sip:127.0.0.1:{self.port}", ""
        if count:
            nonce = self.nonces[number]
            first, second = digest(f"{number}:pbx.example:x"), digest(f"REGISTER:{uri}")
            response = digest(f"{first}:{nonce}:{count:08x}:c:auth:{second}")
            authorization = (f'Authorization: Digest username="{number}", realm="pbx.example", nonce="{nonce}", uri="{uri}", '
                             f'response="{response}", cnonce="c", nc={count:08x}, qop=auth, algorithm=MD5\r\n')
        own = self.socket.getsockname()[1]
        return (f"REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{number}.{sequence}\r\nFrom: <sip:{number}@x>;tag=1\r\n"
                f"To: <sip:{number}@pbx.example>\r\nCall-ID: r{number}\r\nCSeq: {sequence} REGISTER\r\nContact: <sip:{number}@127.0.0.1:{own}>\r\n"
                f"Expires: 3600\r\nMax-Forwards: 70\r\n{authorization}Content-Length: 0\r\n\r\n")

    def send(self, text):
        self.socket.sendto(text.encode(), ("127.0.0.1", self.port))

    def renew(self, processes, at_a_time):
        """Milliseconds of CPU for each of 3000; how many were not answered with 200."""
        before, bad, done = cpu(*processes), 0, 0
        first = getattr(self, "round", 0)
        for round_ in range(first, first + 3):
            for begin in range(0, len(self.numbers), at_a_time):
                some = self.numbers[begin:begin + at_a_time]
                for number in some:
                    self.send(self.text(number, 3 + round_, 2 + round_))
                for _ in some:
                    bad += " 200 " not in self.socket.recv(8000).decode().split("\r\n")[0]
                    done += 1
        self.round = first + 3
        return (cpu(*processes) - before) / done * 1000, bad


    def go_on(self, processes, every, seconds):
        """Each renews once in `every` seconds, evenly spread: the share of a core in per cent; how many were not answered with 200."""
        self.socket.settimeout(0)
        rate, sent, good = len(self.numbers) / every, 0, 0
        texts = [self.text(number, 3, 2) for number in self.numbers[:int(rate * seconds) + 1]]
        before, began = cpu(*processes), time.time()
        while time.time() < began + seconds or (good < sent and time.time() < began + seconds + 5):
            while sent < len(texts) and time.time() < began + seconds and sent < (time.time() - began) * rate:
                self.send(texts[sent])
                sent += 1
            try:
                while True:
                    good += " 200 " in self.socket.recv(8000).decode().split("\r\n")[0]
            except BlockingIOError:
                time.sleep(0.002)
        return (cpu(*processes) - before) / (time.time() - began) * 100, sent - good


def sipp(port, scenario, local, media, *arguments, **more):
    command = ["sipp", *([f"127.0.0.1:{port}"] if port else []), "-sf", scenario, "-i", "127.0.0.1", "-mi", "127.0.0.1",
               "-p", str(local), "-mp", str(media), "-nostdin", *arguments]
    return subprocess.Popen(command, **QUIET, **more)


def voice(what, port, processes, number):
    """50 calls with voice."""
    size = sum(map(resident, processes))
    caller = sipp(port, "speaking.xml", 48070, 45000, "-s", number, "-r", "50", "-m", "50", "-l", "50", "-d", "15000", "-timeout", "60s")
    time.sleep(5)
    before, began, held = cpu(*processes), time.time(), sum(map(resident, processes))
    time.sleep(8)
    share = (cpu(*processes) - before) / (time.time() - began) / 50 * 100
    print(f"{what}: 50 calls both ways: {share:.3f} % of a core a call, {(held - size) / 50:.0f} KiB a call")
    caller.wait()


def calls(what, port, processes):
    """Calls without voice at 100 a second, then 50 calls with voice."""
    callee = sipp(None, str(SCENARIOS / "trunk_uas.xml"), 48080, 40000, "-rtp_echo")
    time.sleep(0.5)
    before, threads = cpu(*processes), signalling(*processes)
    caller = sipp(port, "silent.xml", 48070, 45000, "-s", "9200", "-r", "100", "-m", "2000", "-l", "300", "-d", "200", "-timeout", "60s")
    code = caller.wait()
    each = (cpu(*processes) - before) / 2000 * 1000
    alone = (signalling(*processes) - threads) / 2000 * 1000
    print(f"{what}: 2000 calls at 100/s without voice (SIPp said {code}): {each:.3f} ms of CPU a call, ports opened and closed included"
          + (f"; of these the signalling thread {alone:.3f}" if alone else ""))
    voice(f"{what}, PCMA relayed", port, processes, "9200")
    stop(callee)


def ours():
    idle = '[sip]\nlisten=["udp:127.0.0.1:%d"]\n[store]\nurl="sqlite:idle.db"\n' % OURS
    stop(start_ours("idle", idle)[0])
    process, lasted = start_ours("idle", idle)
    time.sleep(1)
    print(f"ours: start to the first answered OPTIONS {lasted * 1000:.0f} ms, idle {resident(process)} KiB")
    stop(process)
    extensions = "".join(f'[[extensions]]\nnumber="{number}"\npassword="x"\n' for number in range(1000, 2000))
    process, lasted = start_ours("full", extensions + f'''[sip]\nlisten=["udp:127.0.0.1:{OURS}"]\n[store]\nurl="sqlite:full.db"\n[calls]\nannouncements=false\n
[media]\nports=["21000-24999"]\n[[trunks]]\nname="a"\naddress="udp:127.0.0.1:48070"\n[[trunks]]\nname="b"\naddress="udp:127.0.0.1:48080"
[[trunks]]\nname="c"\naddress="udp:127.0.0.1:48090"\ncodecs=["PCMU"]
[[routes]]\nprefix="9"\ntrunk="b"\n[[routes]]\nprefix="8"\ntrunk="c"\n''')
    print(f"ours: with 1000 extensions started in {lasted * 1000:.0f} ms")
    telephones = Registrations(OURS)
    for at_a_time in (1, 50):
        each, bad = telephones.renew([process], at_a_time)
        print(f"ours: authenticated REGISTER, on disk before its 200, {at_a_time} at a time: {each:.3f} ms of CPU each, {bad} not 200")
    calls("ours", OURS, [process])
    callee = sipp(None, "callee-pcmu.xml", 48090, 41000, "-rtp_echo")
    time.sleep(0.5)
    voice("ours, PCMA and PCMU", OURS, [process], "8200")
    stop(callee, process)
    text = "".join(f'[[extensions]]\nnumber="{number}"\npassword="x"\n' for number in range(10000, 20000))
    process, lasted = start_ours("many", text + f'[sip]\nlisten=["udp:127.0.0.1:{OURS}"]\n[store]\nurl="sqlite:many.db"\n')
    print(f"ours: with 10000 extensions started in {lasted * 1000:.0f} ms")
    share, bad = Registrations(OURS, range(10000, 20000)).go_on([process], 60, 20)
    print(f"ours: 10000 registrations renewed every 60 s: {share:.2f} % of a core, {bad} not 200, {resident(process)} KiB")
    stop(process)


KAMAILIO = """#!KAMAILIO
debug=0
log_stderror=no
children=2
auto_aliases=no
listen=udp:127.0.0.1:%(port)d
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "rtpengine.so"
modparam("usrloc", "db_mode", 0)
modparam("rtpengine", "rtpengine_sock", "udp:127.0.0.1:48222")
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("OPTIONS")) { sl_send_reply("200", "Fine"); exit; }
    if (has_totag()) {
        if (is_method("BYE") && %(media)d == 1) { rtpengine_manage(); }
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK") && t_check_trans()) { t_relay(); }
        exit;
    }
    if (is_method("REGISTER")) {
        if (!pv_www_authenticate("pbx.example", "x", "0")) { www_challenge("pbx.example", "1"); exit; }
        save("location");
        exit;
    }
    record_route();
    if (%(media)d == 1) { rtpengine_manage(); t_on_reply("1"); }
    $ru = "sip:200@127.0.0.1:48080";
    t_relay();
}
onreply_route[1] { if (%(media)d == 1 && has_body("application/sdp")) { rtpengine_manage(); } }
"""


def theirs():
    if not (shutil.which("kamailio") and shutil.which("rtpengine")):
        return print("Kamailio and rtpengine are not both here: nothing is beside ours")
    for media in (0, 1):
        pathlib.Path("kamailio.cfg").write_text(KAMAILIO % dict(port=THEIRS, media=media))
        here = os.getcwd()
        kamailio = subprocess.Popen(["kamailio", "-DD", "-E", "-m", "256", "-M", "8", "-f", "kamailio.cfg", "-Y", here, "-P", f"{here}/kamailio.pid"], **QUIET)
        relay = subprocess.Popen(["rtpengine", "--foreground", "--interface=127.0.0.1", "--listen-ng=127.0.0.1:48222", "--port-min=26000",
                                  "--port-max=29999", "--table=-1", "--log-level=2", "--delete-delay=0", f"--pidfile={here}/rtpengine.pid"], **QUIET)
        options(THEIRS, 20)
        time.sleep(1)
        if media:
            calls("Kamailio with rtpengine", THEIRS, [kamailio, relay])
        else:
            telephones = Registrations(THEIRS)
            for at_a_time in (1, 50):
                each, bad = telephones.renew([kamailio], at_a_time)
                print(f"Kamailio: authenticated REGISTER, in memory, {at_a_time} at a time: {each:.3f} ms of CPU each, {bad} not 200")
            share, bad = Registrations(THEIRS, range(10000, 20000)).go_on([kamailio], 60, 20)
            print(f"Kamailio: 10000 registrations, in memory, renewed every 60 s: {share:.2f} % of a core, {bad} not 200")
            calls("Kamailio as a proxy, voice past it", THEIRS, [kamailio])
        stop(kamailio, relay)


if __name__ == "__main__":
    text = (SCENARIOS / "trunk_uac.xml").read_text()
    pathlib.Path("silent.xml").write_text(text.replace('<nop><action><exec rtp_stream="voice.al,-1,8"/></action></nop>', ""))
    pathlib.Path("speaking.xml").write_text(text)
    text = (SCENARIOS / "trunk_uas.xml").read_text()
    pathlib.Path("callee-pcmu.xml").write_text(text.replace("RTP/AVP 8", "RTP/AVP 0").replace("rtpmap:8 PCMA", "rtpmap:0 PCMU"))
    pathlib.Path("voice.al").write_bytes(bytes([0xd5] * 16000))
    ours()
    theirs()
