# Measures the release build on this machine: start, idle, authenticated REGISTERs, bridged calls, relayed voice (needs sipp). Run it in a scratch
# folder after `cargo build --release -p pbx`; CPU is what the system counts for the process, in ticks of 10 ms.
import socket,hashlib,time,subprocess,os,re,sys
import pathlib
HERE=pathlib.Path(__file__).resolve().parent
B=str(HERE/'../../target/release/pbx')
ext=''.join(f'[[extensions]]\nnumber="{n}"\npassword="x"\n' for n in range(1000,2000))
open('m.toml','w').write(ext+'[sip]\nlisten=["udp:127.0.0.1:48060"]\n[store]\nurl="sqlite:m.db"\n[calls]\nannouncements=false\n[media]\nports=["21000-24999"]\n[[trunks]]\nname="a"\naddress="udp:127.0.0.1:48070"\n[[trunks]]\nname="b"\naddress="udp:127.0.0.1:48080"\n[[routes]]\nprefix="9"\ntrunk="b"\n')
open('idle.toml','w').write('[sip]\nlisten=["udp:127.0.0.1:48060"]\n[store]\nurl="sqlite:i.db"\n')
def opt(s):
    s.sendto(b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%d\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x>\r\nCall-ID: o%d\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"%(s.getsockname()[1],time.time_ns(),time.time_ns()),('127.0.0.1',48060))
def start(cfg):
    s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',0)); s.settimeout(0.002)
    t=time.time(); p=subprocess.Popen([B,'--config',cfg],stdout=subprocess.DEVNULL,stderr=open('m.log','w'))
    while True:
        opt(s)
        try: s.recv(4000); break
        except (socket.timeout,ConnectionError): pass
        time.sleep(0.001)
    return p,time.time()-t
def cpu(p):
    f=open(f'/proc/{p.pid}/stat').read().rsplit(')',1)[1].split(); return (int(f[11])+int(f[12]))/os.sysconf('SC_CLK_TCK')
def rss(p): return [int(l.split()[1]) for l in open(f'/proc/{p.pid}/status') if l.startswith('VmRSS')][0]
p,t=start('idle.toml'); p.terminate(); p.wait(); p,t=start('idle.toml'); time.sleep(1); print('start to first answered OPTIONS %.0f ms, idle %d KiB'%(t*1000,rss(p))); p.terminate(); p.wait()
p,t=start('m.toml'); print('with 1000 extensions %.0f ms'%(t*1000))
h=lambda x: hashlib.md5(x.encode()).hexdigest()
socks=[]
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',0)); s.settimeout(2); port=s.getsockname()[1]
def reg(n,i,nonce=None,nc=1):
    auth=''
    if nonce:
        uri='sip:127.0.0.1:48060'; r=h(f"{h(f'{n}:pbx.example:x')}:{nonce}:{nc:08x}:c:auth:{h('REGISTER:'+uri)}")
        auth=f'Authorization: Digest username="{n}", realm="pbx.example", nonce="{nonce}", uri="{uri}", response="{r}", cnonce="c", nc={nc:08x}, qop=auth, algorithm=MD5\r\n'
    m=f"REGISTER sip:127.0.0.1:48060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{n}.{i}.{nc}.{bool(nonce)}\r\nFrom: <sip:{n}@x>;tag=1\r\nTo: <sip:{n}@x>\r\nCall-ID: r{n}\r\nCSeq: {i} REGISTER\r\nContact: <sip:{n}@127.0.0.1:{port}>\r\nExpires: 3600\r\nMax-Forwards: 70\r\n{auth}Content-Length: 0\r\n\r\n"
    s.sendto(m.encode(),('127.0.0.1',48060)); return s.recv(8000).decode()
nonce={}
for n in range(1000,2000):
    r=reg(n,1); nonce[n]=re.search(r'nonce="([^"]+)"',r).group(1); r=reg(n,2,nonce[n],1); assert ' 200 ' in r.split('\r\n')[0],r
c=cpu(p); N=0; bad=0
for rnd in range(3):
    for n in range(1000,2000):
        r=reg(n,3+rnd,nonce[n],2+rnd); N+=1; bad+=' 200 ' not in r.split('\r\n')[0]
print('authenticated REGISTER (known nonce, one datagram, on disk): %.3f ms of CPU each (%d, %d not 200)'%((cpu(p)-c)/N*1000,N,bad))
S=str(HERE/'tests/scenarios')+'/'
ua=subprocess.Popen(['sipp','-sf',S+'trunk_uas.xml','-i','127.0.0.1','-mi','127.0.0.1','-p','48080','-mp','40000','-nostdin','-rtp_echo'],stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL)
time.sleep(0.5)
x=open(S+'trunk_uac.xml').read().replace('<nop><action><exec rtp_stream="voice.al,-1,8"/></action></nop>',''); open('uac.xml','w').write(x)
c=cpu(p)
r=subprocess.run(['sipp','127.0.0.1:48060','-sf','uac.xml','-s','9200','-i','127.0.0.1','-mi','127.0.0.1','-p','48070','-mp','45000','-r','100','-m','2000','-l','300','-d','200','-nostdin','-timeout','60s'],stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL)
print('2000 bridged calls at 100/s without voice: rc %d, %.3f ms of CPU a call (ports opened and closed included), resident %d KiB'%(r.returncode,(cpu(p)-c)/2000*1000,rss(p)))
open('voice.al','wb').write(bytes([0xd5]*16000))
x=open(S+'trunk_uac.xml').read(); open('uac2.xml','w').write(x)
r0=rss(p); c=cpu(p); t=time.time()
q=subprocess.Popen(['sipp','127.0.0.1:48060','-sf','uac2.xml','-s','9200','-i','127.0.0.1','-mi','127.0.0.1','-p','48070','-mp','45000','-r','50','-m','50','-l','50','-d','15000','-nostdin','-timeout','60s'],stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL)
time.sleep(5); c1=cpu(p); t1=time.time(); r1=rss(p); time.sleep(8); c2=cpu(p); t2=time.time()
print('50 PCMA calls relayed both ways: %.3f %% of a core a call, %d KiB a call'%((c2-c1)/(t2-t1)/50*100,(r1-r0)/50))
q.wait(); ua.kill(); p.terminate(); p.wait()
