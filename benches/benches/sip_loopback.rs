//! Over loopback, beside Kamailio in the same run: an authenticated REGISTER; a call (INVITE, 180, 200, ACK, BYE, 200)
//! through a stateful proxy that stays on the route; the same call through a back-to-back agent, beside the same proxying
//! of Kamailio's. SIPp makes the load for each in turn.
//!
//! What is compared is processor time: of all of Kamailio's processes, and of the thread that our driver runs on. A busy
//! neighbour makes both slower and neither dearer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use denwa::bridge;
use denwa::driver::{Answer, FromEndpoint, Machine, Output};
use denwa::tokio::{DriverConfig, SignallingDriver};
use denwa_interop::kamailio::Kamailio;
use denwa_interop::{Ports, Scratch, require, sipp};
use denwa_sip_core::b2bua::{self, Across, HeaderRules};
use denwa_sip_core::config::TransactionConfig;
use denwa_sip_core::endpoint::*;
use denwa_sip_core::message::{Request, UriBuf};
use denwa_sip_core::proxy::{Branch, ForwardOptions, Proxy, ProxyConfig, ProxyEvent, TargetSet};
use denwa_sip_core::{Method, Protocol};
use rustix::time::{ClockId, clock_gettime};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn thread_time() -> Duration {
    let at = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(at.tv_sec.try_into().unwrap(), at.tv_nsec.try_into().unwrap())
}

/// What is measured: a registrar, or what stands before one telephone.
#[derive(Clone, Copy)]
enum Duty {
    Register,
    Proxy(SocketAddr),
    Bridge(SocketAddr),
}

enum Role {
    Registrar(Box<Endpoint>),
    Proxy(Box<Proxy>, SocketAddr),
    Bridge(Box<Bridge>),
}

/// A back-to-back agent: pairs of calls, and descriptions that wait for the message they belong to.
struct Bridge {
    endpoint: Endpoint,
    telephone: SocketAddr,
    other: HashMap<CallHandle, (CallHandle, bool)>,
    described: HashMap<CallHandle, Body>,
    rules: HeaderRules,
}

impl Bridge {
    fn join(&mut self, request: RequestHandle, message: &Request, now: Instant) {
        let to = UriBuf::parse(&format!("sip:bench@{}", self.telephone)).unwrap();
        let target = Target::address(Protocol::Udp, self.telephone);
        let Ok(mut place) = b2bua::place_call(message, to, target, &self.rules) else { return };
        place.body = Some(Body::sdp(message.body_bytes()));
        let (local, options) = (LocalIdentity::default(), CallOptions::default());
        let Ok(caller) = self.endpoint.accept_call(request, &local, options, now) else { return };
        let Ok(callee) = self.endpoint.place_call(place, now) else { return };
        self.other.extend([(caller, (callee, true)), (callee, (caller, false))]);
    }

    fn carry(&mut self, call: CallHandle, event: &Event, now: Instant) {
        let Some((other, is_caller)) = self.other.get(&call).copied() else { return };
        let across = b2bua::across(event, is_caller, &self.rules);
        if let Event::CallEnded { .. } = event {
            self.other.remove(&call);
        }
        match across {
            Across::Description(body) => drop(self.described.insert(call, body)),
            Across::Ring { mut reply, .. } => {
                reply.body = self.described.remove(&call);
                let _ = self.endpoint.ring(other, &reply, now);
            }
            Across::Answer(mut reply) => {
                reply.body = self.described.remove(&call);
                let _ = self.endpoint.answer(other, &reply, now);
            }
            Across::Refuse(reply) => drop(self.endpoint.refuse(other, &reply, now)),
            Across::HangUp(headers) => drop(self.endpoint.hang_up(other, &headers, now)),
            _ => {}
        }
    }

    fn serve(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Incoming { request, message, .. } if *message.method() == Method::Invite => {
                self.join(*request, message, now);
            }
            Event::CallProgress { call, .. }
            | Event::CallAnswered { call, .. }
            | Event::CallEnded { call, .. }
            | Event::OfferReceived { call, .. }
            | Event::AnswerReceived { call, .. } => self.carry(*call, event, now),
            _ => {}
        }
    }
}

struct Server {
    role: Role,
    outputs: VecDeque<Output<Duration>>,
}

/// Tell how much processor time the thread has used; or stop.
enum Order {
    Tell,
    Stop,
}

impl Server {
    fn drain(&mut self, now: Instant) {
        match &mut self.role {
            Role::Registrar(endpoint) => {
                while let Some(output) = endpoint.poll_output() {
                    match FromEndpoint::from(output) {
                        FromEndpoint::Event(Event::Incoming { request, .. }) => {
                            let algorithms = vec![Algorithm::Md5];
                            let policy = ChallengePolicy { algorithms, ..ChallengePolicy::new("bench") };
                            let _ = endpoint.authenticate(request, &policy, now);
                        }
                        FromEndpoint::Event(Event::Authenticated { request, username, .. }) => {
                            let _ =
                                endpoint.accept_registration(request, &format!("sip:{username}@bench"), now);
                        }
                        FromEndpoint::Event(_) => {}
                        FromEndpoint::Lookup { id, lookup } => {
                            let provided = match lookup {
                                Lookup::Credentials { user, .. } => {
                                    Provided::Secret { user, secret: Secret::password("secret") }
                                }
                                _ => Provided::Stored,
                            };
                            endpoint.handle_input(Input::Provided { id, provided }, now);
                        }
                        FromEndpoint::Driver(output) => self.outputs.push_back(output.widen()),
                    }
                }
            }
            Role::Proxy(proxy, telephone) => {
                while let Some(output) = proxy.poll_output() {
                    match FromEndpoint::from(output) {
                        FromEndpoint::Event(ProxyEvent::Request { request, message, is_routed, .. }) => {
                            let Ok(uri) = message.uri() else { continue };
                            let mut branch = Branch::to(uri.to_owned());
                            if !is_routed {
                                branch.target = Some(Target::address(Protocol::Udp, *telephone));
                            }
                            let record_route = *message.method() == Method::Invite;
                            let options = ForwardOptions { record_route, ..ForwardOptions::default() };
                            let _ = proxy.forward(request, TargetSet::one(branch), &options, now);
                        }
                        FromEndpoint::Event(_) | FromEndpoint::Lookup { .. } => {}
                        FromEndpoint::Driver(output) => self.outputs.push_back(output.widen()),
                    }
                }
            }
            Role::Bridge(bridge) => {
                while let Some(output) = bridge.endpoint.poll_output() {
                    match FromEndpoint::from(output) {
                        FromEndpoint::Event(event) => bridge.serve(&event, now),
                        FromEndpoint::Lookup { .. } => {}
                        FromEndpoint::Driver(output) => self.outputs.push_back(output.widen()),
                    }
                }
            }
        }
    }
}

impl Machine for Server {
    type Command = Order;
    type Event = Duration;

    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        match &mut self.role {
            Role::Registrar(endpoint) => endpoint.handle_input(input, now),
            Role::Proxy(proxy, _) => proxy.handle_input(input, now),
            Role::Bridge(bridge) => bridge.endpoint.handle_input(input, now),
        }
        self.drain(now);
    }

    fn handle_media(&mut self, _: bridge::Event, _: Instant) {}

    fn handle_answer(&mut self, _: u64, _: Answer, _: Instant) {}

    fn handle_command(&mut self, order: Order, _: Instant) {
        self.outputs.push_back(match order {
            Order::Tell => Output::Event(thread_time()),
            Order::Stop => Output::Stop,
        });
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.role {
            Role::Registrar(endpoint) => endpoint.handle_timeout(now),
            Role::Proxy(proxy, _) => proxy.handle_timeout(now),
            Role::Bridge(bridge) => bridge.endpoint.handle_timeout(now),
        }
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output<Duration>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.role {
            Role::Registrar(endpoint) => endpoint.poll_timeout(),
            Role::Proxy(proxy, _) => proxy.poll_timeout(),
            Role::Bridge(bridge) => bridge.endpoint.poll_timeout(),
        }
    }
}

/// Something to be measured: where it listens, and how much processor time it has used.
trait Subject {
    fn port(&self) -> u16;
    fn spent(&self) -> Duration;
}

struct Ours {
    driver: SignallingDriver<Order>,
    told: mpsc::Receiver<Duration>,
}

impl Ours {
    fn start(duty: Duty) -> Self {
        let mut config = DriverConfig::new(vec!["udp:127.0.0.1:0".parse().unwrap()]);
        config.media = None;
        let (tell, told) = mpsc::channel();
        let driver = SignallingDriver::start(
            config,
            move |listening, now| {
                let listeners: Vec<Listener> =
                    listening.iter().map(|it| Listener::new(it.protocol, it.address)).collect();
                let seed = Seed([7; 32]);
                let role = match duty {
                    Duty::Register => {
                        Role::Registrar(Box::new(Endpoint::new(EndpointConfig::new(listeners), seed, now)))
                    }
                    Duty::Proxy(telephone) => {
                        let config = ProxyConfig::new(TransactionConfig::new(listeners));
                        Role::Proxy(Box::new(Proxy::new(config, seed, now)), telephone)
                    }
                    Duty::Bridge(telephone) => Role::Bridge(Box::new(Bridge {
                        endpoint: Endpoint::new(EndpointConfig::new(listeners), seed, now),
                        telephone,
                        other: HashMap::new(),
                        described: HashMap::new(),
                        rules: HeaderRules::default(),
                    })),
                };
                Server { role, outputs: VecDeque::new() }
            },
            move |spent| {
                let _ = tell.send(spent);
            },
        )
        .unwrap();
        Self { driver, told }
    }

    fn stop(self) {
        self.driver.handle().command(Order::Stop).unwrap();
        self.driver.join().unwrap();
    }
}

impl Subject for Ours {
    fn port(&self) -> u16 {
        self.driver.listening()[0].address.port()
    }

    fn spent(&self) -> Duration {
        self.driver.handle().command(Order::Tell).unwrap();
        self.told.recv().unwrap()
    }
}

impl Subject for Kamailio {
    fn port(&self) -> u16 {
        self.address.port()
    }

    /// Of all processes of its group: ticks of 10 ms.
    fn spent(&self) -> Duration {
        let mut ticks = 0;
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let Some((_, after)) = stat.rsplit_once(')') else { continue };
            let words: Vec<&str> = after.split_whitespace().collect();
            // After the name: state, parent, group, …; user and system time are the 12th and 13th.
            if words.get(2) == Some(&&*self.peer.id().to_string()) {
                ticks += [11, 12].iter().map(|at| words[*at].parse::<u64>().unwrap()).sum::<u64>();
            }
        }
        Duration::from_millis(ticks * 10)
    }
}

/// A description as SIPp fills it in.
const DESCRIPTION: &str = "Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000";

const EMPTY: &str = "Content-Length: 0\n";

/// A response to the last request: what follows To's value there, and what follows the headers that are given back.
fn response(status: &str, tag: &str, more: &str) -> String {
    format!(
        "SIP/2.0 {status}
        [last_Via:]
        [last_From:]
        [last_To:]{tag}
        [last_Call-ID:]
        [last_CSeq:]
        {more}"
    )
}

/// The telephone that is called; it says who stands on the way, which SIPp's own does not.
fn telephone() -> String {
    let tag = ";tag=[pid]-[call_number]";
    let own = |more: &str| format!("[last_Record-Route:]\nContact: <sip:[local_ip]:[local_port]>\n{more}");
    sipp::scenario(&[
        sipp::receive("request=\"INVITE\""),
        sipp::send(&response("180 Ringing", tag, &own(EMPTY)), false),
        sipp::send(&response("200 OK", tag, &own(DESCRIPTION)), true),
        sipp::receive("request=\"ACK\""),
        sipp::receive("request=\"BYE\""),
        sipp::send(&response("200 OK", "", EMPTY), false),
        "<timewait milliseconds=\"4000\"/>\n".to_owned(),
    ])
}

/// A request of this load.
fn request(line: &str, routes: &str, from: &str, to: &str, cseq: &str, more: &str) -> String {
    format!(
        "{line} SIP/2.0
        Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
        {routes}Max-Forwards: 70
        From: <{from}>;tag=[call_number]
        To: {to}
        Call-ID: [call_id]
        CSeq: {cseq}
        {more}"
    )
}

/// A call that ends as soon as it is up.
fn call() -> String {
    let from = "sip:load@[local_ip]:[local_port]";
    let to = "<sip:bench@[remote_ip]:[remote_port]>";
    let first = format!("Contact: <{from}>\n{DESCRIPTION}");
    let inside = |method: &str, number: u8| {
        let line = format!("{method} [next_url]");
        let answered = format!("{to}[peer_tag_param]");
        request(&line, "[routes]\n", from, &answered, &format!("{number} {method}"), EMPTY)
    };
    let invite = "INVITE sip:bench@[remote_ip]:[remote_port]";
    sipp::scenario(&[
        sipp::send(&request(invite, "", from, to, "1 INVITE", &first), true),
        sipp::receive("response=\"100\" optional=\"true\""),
        sipp::receive("response=\"180\" optional=\"true\""),
        sipp::receive("response=\"200\" rrs=\"true\""),
        sipp::send(&inside("ACK", 1), false),
        sipp::send(&inside("BYE", 2), true),
        sipp::receive("response=\"200\""),
    ])
}

/// A registration that is asked for its password.
fn register() -> String {
    let user = "sip:[field0]@bench";
    let attempt = |number: u8, credentials: &str| {
        let contact = "Contact: <sip:[field0]@[local_ip]:[local_port]>;expires=3600";
        let more = format!("{contact}\nUser-Agent: bench\n{credentials}{EMPTY}");
        let to = format!("<{user}>");
        request("REGISTER sip:bench", "", user, &to, &format!("{number} REGISTER"), &more)
    };
    sipp::scenario(&[
        sipp::send(&attempt(1, ""), true),
        sipp::receive("response=\"401\" auth=\"true\""),
        sipp::send(&attempt(2, "[field1]\n"), true),
        sipp::receive("response=\"200\""),
    ])
}

/// Runs SIPp against a subject; processor time of one exchange of `count`.
fn measure(
    subject: &dyn Subject,
    scratch: &Scratch,
    ports: &mut Ports,
    name: &str,
    scenario: &str,
    (count, rate): (u32, u32),
) -> Duration {
    let (count_text, rate_text) = (count.to_string(), rate.to_string());
    let users = scratch.path().join("users.csv");
    // SIPp puts a user's name into credentials only if they stand in a file as a whole.
    let line = |number| format!("u{number};[authentication username=u{number} password=secret]\n");
    fs::write(&users, format!("SEQUENTIAL\n{}", (0..count).map(line).collect::<String>())).unwrap();
    let users = users.display().to_string();
    let arguments =
        ["-inf", &*users, "-m", &*count_text, "-r", &*rate_text, "-l", "5000", "-d", "0", "-s", "bench"];
    let target = format!("127.0.0.1:{}", subject.port());
    let options = sipp::Options {
        name,
        scenario,
        target: Some(&target),
        port: ports.take(2),
        media_port: ports.take(4),
        arguments: &arguments,
    };
    let before = subject.spent();
    let mut load = sipp::Sipp::start(&options, scratch.path());
    let all_good = load.finish(PATIENCE);
    // Where figures are wanted a neighbour may stall this machine for longer than SIPp waits.
    assert!(all_good || denwa_benches::is_measured(), "{name}: {}", load.peer.log());
    if !all_good {
        println!("{name}: good were {} of {count}", load.figure("SuccessfulCall(C)").unwrap_or_default());
    }
    subject.spent().saturating_sub(before) / count
}

fn kamailio(scratch: &Scratch, name: &str, port: u16, more: &str, routes: &str) -> Kamailio {
    let folder = scratch.path().join(name);
    fs::create_dir_all(&folder).unwrap();
    Kamailio::start_silent(&folder, port, more, routes)
}

fn main() {
    let is_test = !denwa_benches::is_measured();
    if !require("kamailio") || !require("sipp") {
        return;
    }
    // How many and how many a second: as much as this machine's SIPp and Kamailio bear beside other work.
    let (calls, registrations) = if is_test { ((10, 50), (10, 50)) } else { ((1_500, 300), (6_000, 1_200)) };
    let scratch = Scratch::new("sip-loopback");
    let mut ports = Ports::block();
    let telephone_port = ports.take(2);
    let media_port = ports.take(4);
    let listening = sipp::Options {
        name: "telephone",
        scenario: &telephone(),
        target: None,
        port: telephone_port,
        media_port,
        arguments: &[],
    };
    let telephone = sipp::Sipp::start(&listening, scratch.path());
    telephone.wait_until_it_listens("udp");
    let telephone_address = SocketAddr::from(([127, 0, 0, 1], telephone_port));
    let registrar = kamailio(
        &scratch,
        "registrar",
        ports.take(2),
        "loadmodule \"auth.so\"\nloadmodule \"usrloc.so\"\nloadmodule \"registrar.so\"\n\
         modparam(\"usrloc\", \"hash_size\", 14)",
        r#"route[BEGIN] {
    if (!pv_www_authenticate("bench", "secret", "0")) { www_challenge("bench", "1"); exit; }
    save("location");
    exit;
}"#,
    );
    let proxy = kamailio(
        &scratch,
        "proxy",
        ports.take(2),
        "",
        &format!("route[BEGIN] {{ $du = \"sip:127.0.0.1:{telephone_port}\"; }}"),
    );
    let our_registrar = Ours::start(Duty::Register);
    let our_proxy = Ours::start(Duty::Proxy(telephone_address));
    let our_bridge = Ours::start(Duty::Bridge(telephone_address));
    println!(
        "processor time: {} calls, {} a second; {} REGISTERs, {} a second",
        calls.0, calls.1, registrations.0, registrations.1
    );
    let (register, call) = (register(), call());
    for round in 0..if is_test { 1 } else { 2 } {
        let mut row =
            |what: &str, (scenario, load): (&str, (u32, u32)), ours: &dyn Subject, theirs: &dyn Subject| {
                let name = |who: &str| format!("{who}-{}-{round}", what.replace(' ', "-"));
                let ours = measure(ours, &scratch, &mut ports, &name("ours"), scenario, load);
                let theirs = measure(theirs, &scratch, &mut ports, &name("kamailio"), scenario, load);
                if !is_test {
                    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
                    println!("{what:>24}: ours {ours:>10.1?}   Kamailio {theirs:>10.1?}   ratio {ratio:.2}");
                }
            };
        row("authenticated REGISTER", (&register, registrations), &our_registrar, &registrar);
        row("proxied call", (&call, calls), &our_proxy, &proxy);
        row("bridged call", (&call, calls), &our_bridge, &proxy);
    }
    our_registrar.stop();
    our_proxy.stop();
    our_bridge.stop();
}
