use super::*;
use crate::Seed;
use crate::bridge::{BridgeConfig, ConferenceId, Connection, LegSpec, Source};
use crate::media::{PayloadFormat, StreamParameters};
use crate::tokio::media::{MediaDriver, MediaDriverConfig, epoll::Epoll, portable::Portable};
use denwa_rtp::packet::{Header, Packet};
use std::thread::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(10);

/// A telephone on loopback.
struct Phone {
    socket: UdpSocket,
    sequence: u16,
}

impl Phone {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, sequence: 0 }
    }

    fn parameters(&self) -> Box<StreamParameters> {
        let address = self.socket.local_addr().unwrap();
        Box::new(StreamParameters {
            remote_rtcp: None,
            ..StreamParameters::plain(address, &[PayloadFormat::pcma()])
        })
    }

    fn say(&mut self, to: SocketAddr, voice: u8) {
        self.sequence += 1;
        let header = Header {
            payload_type: 8,
            sequence: self.sequence,
            timestamp: u32::from(self.sequence) * 160,
            ssrc: 7,
            ..Header::default()
        };
        let mut packet = [0; 172];
        header.write(&[voice; 160], &mut packet).unwrap();
        self.socket.send_to(&packet, to).unwrap();
    }

    /// The next voice that arrives.
    fn hear(&self) -> u8 {
        loop {
            let mut buffer = [0; 2048];
            let (length, _) = self.socket.recv_from(&mut buffer).unwrap();
            if buffer[1] & 0x7f == 8 {
                return Packet::parse(&buffer[..length]).unwrap().payload()[0];
            }
        }
    }
}

fn open(leg: u64, group: u64) -> Command {
    let any = "127.0.0.1:0".parse().unwrap();
    let spec =
        LegSpec { group, rtp: any, rtcp: any, silence_after: Duration::from_secs(30), cname: "leg".into() };
    Command::Open { leg: LegId(leg), spec }
}

/// Waits for the event that `wanted` picks.
fn expect<T>(events: &mpsc::Receiver<Event>, wanted: impl Fn(&Event) -> Option<T>) -> T {
    loop {
        let event = events.recv_timeout(PATIENCE).expect("an event");
        if let Some(found) = wanted(&event) {
            return found;
        }
    }
}

fn opened(events: &mpsc::Receiver<Event>, wanted: u64) -> SocketAddr {
    expect(events, |event| match event {
        Event::Opened { leg: LegId(leg), rtp, .. } if *leg == wanted => Some(*rtp),
        _ => None,
    })
}

fn worker<P: Poller>() -> (Post, mpsc::Receiver<Event>, JoinHandle<()>) {
    let now = Instant::now();
    let bridge = MediaBridge::new(BridgeConfig::new(Duration::ZERO, now), Seed([1; 32]), now);
    let (tell, events) = mpsc::channel();
    let (post, worker) =
        Worker::<P>::new(bridge, None, Arc::new(move |event| drop(tell.send(event)))).unwrap();
    (post, events, std::thread::spawn(move || worker.run()))
}

fn two_phones_talk<P: Poller>() {
    let (post, events, thread) = worker::<P>();
    let (mut alice, mut bob) = (Phone::new(), Phone::new());
    let mut legs = Vec::new();
    for (leg, phone) in [(1, &alice), (2, &bob)] {
        post.send(Work::Command(open(leg, 1)));
        legs.push(opened(&events, leg));
        post.send(Work::Command(Command::Configure { leg: LegId(leg), stream: phone.parameters() }));
    }
    post.send(Work::Command(Command::Connect { leg: LegId(1), to: Connection::Leg(LegId(2)) }));
    // A first packet may come before the legs are joined; voices are repeated until one is heard.
    post.send(Work::Command(Command::SendDigits { leg: LegId(9), digits: String::new() }));
    expect(&events, |event| matches!(event, Event::Rejected { .. }).then_some(()));
    for voice in 0..100 {
        alice.say(legs[0], voice);
        assert_eq!(bob.hear(), voice);
        bob.say(legs[1], voice + 100);
        assert_eq!(alice.hear(), voice + 100);
    }
    // Many at once: a socket that is told of once must be emptied.
    for voice in 0..50 {
        alice.say(legs[0], voice);
    }
    for voice in 0..50 {
        assert_eq!(bob.hear(), voice);
    }
    post.send(Work::Command(Command::Close { leg: LegId(1) }));
    let received = expect(&events, |event| match event {
        Event::Closed { leg: LegId(1), report } => Some(report.counters.received),
        _ => None,
    });
    assert_eq!(received, 150);
    // The port is free again.
    UdpSocket::bind(legs[0]).unwrap();
    post.send(Work::Stop);
    thread.join().unwrap();
}

#[test]
fn two_phones_talk_by_epoll() {
    two_phones_talk::<Epoll>();
}

#[test]
fn two_phones_talk_where_there_is_no_epoll() {
    two_phones_talk::<Portable>();
}

#[test]
fn a_port_in_use_is_named_and_costs_nothing() {
    let (post, events, thread) = worker::<Epoll>();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let rtcp = taken.local_addr().unwrap();
    let Command::Open { leg, spec } = open(1, 1) else { panic!() };
    post.send(Work::Command(Command::Open { leg, spec: LegSpec { rtcp, ..spec } }));
    let reason = expect(&events, |event| match event {
        Event::OpenFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason, OpenFailure::PortTaken(rtcp));
    post.send(Work::Stop);
    thread.join().unwrap();
}

#[test]
fn legs_of_two_workers_come_together() {
    let (tell, events) = mpsc::channel();
    let driver =
        MediaDriver::start(MediaDriverConfig::with_workers(2), move |event| drop(tell.send(event))).unwrap();
    let (mut alice, mut bob) = (Phone::new(), Phone::new());
    let mut legs = Vec::new();
    for (leg, phone) in [(1, &alice), (2, &bob)] {
        driver.command(open(leg, leg));
        legs.push(opened(&events, leg));
        driver.command(Command::Configure { leg: LegId(leg), stream: phone.parameters() });
    }
    driver.command(Command::Connect { leg: LegId(1), to: Connection::Leg(LegId(2)) });
    // What comes for the leg while it moves waits for it.
    driver.command(Command::Connect { leg: LegId(2), to: Connection::Leg(LegId(1)) });
    driver.command(Command::SendDigits { leg: LegId(2), digits: "?".to_owned() });
    let misuse = expect(&events, |event| match event {
        Event::Rejected { misuse, .. } => Some(misuse.clone()),
        _ => None,
    });
    assert_eq!(misuse, crate::bridge::Misuse::NotADigit('?'), "it is known there");
    for voice in 0..20 {
        alice.say(legs[0], voice);
        assert_eq!(bob.hear(), voice);
        bob.say(legs[1], voice);
        assert_eq!(alice.hear(), voice);
    }
    driver.command(Command::Close { leg: LegId(2) });
    driver.command(Command::Close { leg: LegId(1) });
    driver.command(Command::Close { leg: LegId(3) });
    driver.stop();
    let mut ends = 0;
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Closed { .. } => ends += 1,
            Event::Rejected { leg, .. } => assert_eq!(leg, LegId(3)),
            _ => {}
        }
    }
    assert_eq!(ends, 2);
}

#[test]
fn legs_of_many_workers_confer() {
    let (tell, events) = mpsc::channel();
    let driver =
        MediaDriver::start(MediaDriverConfig::with_workers(3), move |event| drop(tell.send(event))).unwrap();
    let mut phones = [Phone::new(), Phone::new(), Phone::new()];
    let mut legs = Vec::new();
    for (leg, phone) in (1..).zip(&phones) {
        driver.command(open(leg, leg));
        legs.push(opened(&events, leg));
        driver.command(Command::Configure { leg: LegId(leg), stream: phone.parameters() });
        let to = Connection::Conference(ConferenceId(2));
        driver.command(Command::Connect { leg: LegId(leg), to });
    }
    let silence = phones[2].hear();
    // Loud enough to stand out; the conference hears it for as long as it is said.
    let voice = 0x2a;
    while phones[2].hear() == silence {
        phones[0].say(legs[0], voice);
    }
    while phones[1].hear() == silence {}
    expect(&events, |event| (*event == Event::Talking { leg: LegId(1), talking: true }).then_some(()));
    driver.stop();
}

#[test]
fn the_milliwatt_plays_by_itself() {
    let (post, events, thread) = worker::<Epoll>();
    let alice = Phone::new();
    post.send(Work::Command(open(1, 1)));
    opened(&events, 1);
    post.send(Work::Command(Command::Configure { leg: LegId(1), stream: alice.parameters() }));
    post.send(Work::Command(Command::Connect { leg: LegId(1), to: Connection::Source(Source::MILLIWATT) }));
    for _ in 0..5 {
        alice.hear();
    }
    post.send(Work::Stop);
    thread.join().unwrap();
}

#[test]
fn a_leg_marks_what_it_sends_as_it_is_told_and_other_legs_do_not() {
    let now = Instant::now();
    let bridge = MediaBridge::new(BridgeConfig::new(Duration::ZERO, now), Seed([1; 32]), now);
    let (post, mut worker) = Worker::<Epoll>::new(bridge, None, Arc::new(drop)).unwrap();
    for command in [open(1, 1), open(2, 1), Command::Mark { leg: LegId(1), dscp: Dscp::VOICE }] {
        post.send(Work::Command(command));
    }
    worker.take_work();
    let marks: Vec<(u64, u32)> = worker
        .sockets
        .iter()
        .flatten()
        .map(|(leg, socket)| (leg.0, socket2::SockRef::from(socket).tos_v4().unwrap()))
        .collect();
    // RTP and RTCP of each; six bits of the octet.
    assert_eq!(marks, [(1, 46 << 2), (1, 46 << 2), (2, 0), (2, 0)]);
}
