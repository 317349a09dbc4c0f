//! An exchange on the virtual network that joins two telephones which have agreed on codecs of their own with it.

use crate::telephones::World;
use crate::virtual_host::Host;
use denwa::bridge::{Command, Connection, Event, LegId, LegSpec};
use denwa::driver::{Answer, Machine, Output};
use denwa::evidence::{
    Agreement, Cause, Confidence, Evidence, Fact, MediaDirection, MessageHead, Side, StreamCounters,
};
use denwa::media::{PayloadFormat, StreamParameters};
use denwa_sip_core::Input;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Joins two legs with these codecs; what the evidence says is the matter.
pub(crate) fn join(world: &mut World, address: &str, codecs: [&str; 2]) -> Vec<(Cause, Confidence)> {
    let address = SocketAddr::new(address.parse().unwrap(), 0);
    let host = world.network.add_host("switchboard", world.internet, &[address.ip()]).unwrap();
    let now = world.network.now();
    let board = Switchboard {
        address,
        codecs: codecs.map(str::to_owned),
        opened: 0,
        evidence: Evidence::new("a joined call", Evidence::DEFAULT_LIMIT, now),
        outputs: VecDeque::new(),
    };
    let board = Host::new(board, 20, now, Box::new(|_, (), _| None));
    let node = world.network.add_machine(host, board).unwrap();
    world.network.with(node, |host, now| host.act(now, Switchboard::open)).unwrap();
    world.pass(1);
    let host = world.network.machine(node).unwrap();
    assert_eq!(host.machine.opened, 2);
    host.machine.evidence.findings().iter().map(|finding| (finding.cause, finding.confidence)).collect()
}

struct Switchboard {
    address: SocketAddr,
    codecs: [String; 2],
    opened: usize,
    evidence: Evidence,
    outputs: VecDeque<Output<()>>,
}

impl Switchboard {
    fn open(&mut self, _: Instant) {
        for leg in [1, 2].map(LegId) {
            let silence_after = Duration::from_secs(30);
            let (rtp, rtcp) = (self.address, self.address);
            let spec = LegSpec { group: 1, rtp, rtcp, silence_after, cname: "board".to_owned() };
            self.outputs.push_back(Output::Media(Command::Open { leg, spec }));
        }
    }

    /// Both sides have answered and agreed.
    fn connect(&mut self, now: Instant) {
        for (number, codec) in (1..).zip(self.codecs.clone()) {
            let leg = LegId(number);
            let side = Some(Side(u16::try_from(number - 1).unwrap()));
            let payload_type = match codec.as_str() {
                "PCMU" => 0,
                "PCMA" => 8,
                _ => 96,
            };
            let format = PayloadFormat::new(payload_type, &codec, 8000);
            let remote = SocketAddr::from(([192, 0, 2, number as u8], 4000));
            let stream = Box::new(StreamParameters::plain(remote, &[format]));
            self.outputs.push_back(Output::Media(Command::Configure { leg, stream }));
            let answered = MessageHead {
                method: "INVITE".to_owned(),
                status: Some(200),
                remote: Some(SocketAddr::new(remote.ip(), 5060)),
                ..MessageHead::default()
            };
            self.evidence.add(side, Fact::Received(answered), now);
            let direction = MediaDirection::BOTH;
            let agreed = Agreement { codec, direction, remote: Some(remote), ..Agreement::default() };
            self.evidence.add(side, Fact::Agreed(agreed), now);
            let voice = StreamCounters { sent: 500, received: 500, ..StreamCounters::default() };
            self.evidence.add(side, Fact::Counters(voice), now);
        }
        self.outputs
            .push_back(Output::Media(Command::Connect { leg: LegId(1), to: Connection::Leg(LegId(2)) }));
    }
}

impl Machine for Switchboard {
    type Command = ();
    type Event = ();

    fn handle_input(&mut self, _: Input<'_>, _: Instant) {}

    fn handle_media(&mut self, event: Event, now: Instant) {
        match event {
            Event::Opened { .. } => {
                self.opened += 1;
                if self.opened == 2 {
                    self.connect(now);
                }
            }
            Event::NoConversion { from, to, .. } => {
                self.evidence.add(None, Fact::TranscoderMissing { from, to }, now);
            }
            _ => {}
        }
    }

    fn handle_answer(&mut self, _: u64, _: Answer, _: Instant) {}

    fn handle_command(&mut self, (): (), _: Instant) {}

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_output(&mut self) -> Option<Output<()>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
