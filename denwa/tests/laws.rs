//! The ten laws of every machine here, for the bridge and for the user agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod virtual_host;

use denwa::Seed;
use denwa::bridge::{
    Command as MediaCommand, ConferenceId, Connection, Event as MediaEvent, LegId, LegSpec, Program,
    RecordingId, RecordingSpec, Sides, Source,
};
use denwa::driver::{Answer, Machine, Output};
use denwa::media::{PayloadFormat, StreamParameters};
use denwa::ua::{Account, Event, UserAgent, UserAgentConfig};
use denwa_codecs::tone::dtmf;
use denwa_rtp::packet::Header;
use denwa_sim::laws::{Bounds, Subject};
use denwa_sim::machine::Stimulus;
use denwa_sip_core::config::Listener;
use denwa_sip_core::{Input, Protocol};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use virtual_host::Host;

/// Signalling that only hands on what it is told to tell the media.
#[derive(Default)]
struct Dictation(VecDeque<Output<MediaEvent>>);

impl Machine for Dictation {
    type Command = ();
    type Event = MediaEvent;

    fn handle_input(&mut self, _: Input<'_>, _: Instant) {}

    fn handle_media(&mut self, event: MediaEvent, _: Instant) {
        self.0.push_back(Output::Event(event));
    }

    fn handle_answer(&mut self, _: u64, _: Answer, _: Instant) {}

    fn handle_command(&mut self, (): (), _: Instant) {}

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_output(&mut self) -> Option<Output<MediaEvent>> {
        self.0.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn rtp(sequence: u16, payload_type: u8) -> Vec<u8> {
    let mut packet = vec![0; 172];
    let timestamp = u32::from(sequence) * 160;
    let header = Header { payload_type, sequence, timestamp, ssrc: 77, ..Header::default() };
    header.write(&[0x55; 160], &mut packet).unwrap();
    packet
}

fn bridge_host(seed: [u8; 32], now: Instant) -> Host<Dictation> {
    let react = |_: &mut Dictation, event: MediaEvent, _| match event {
        MediaEvent::Report { .. } => None,
        other => Some(format!("{other:?}")),
    };
    Host::new(Dictation::default(), seed[0], now, Box::new(react))
}

fn dictate(host: &mut Host<Dictation>, command: MediaCommand, now: Instant) {
    host.act(now, |machine, _| machine.0.push_back(Output::Media(command)));
}

fn open(leg: u64) -> MediaCommand {
    let port = 20_000 + 2 * u16::try_from(leg).unwrap();
    let spec = LegSpec {
        group: 1,
        rtp: SocketAddr::from(([10, 0, 0, 1], port)),
        rtcp: SocketAddr::from(([10, 0, 0, 1], port + 1)),
        silence_after: Duration::from_secs(10),
        cname: "leg".into(),
    };
    MediaCommand::Open { leg: LegId(leg), spec }
}

fn configure(leg: u64, format: PayloadFormat) -> MediaCommand {
    let remote = SocketAddr::from(([10, 0, 0, 9], 4000 + 10 * u16::try_from(leg).unwrap()));
    MediaCommand::Configure { leg: LegId(leg), stream: Box::new(StreamParameters::plain(remote, &[format])) }
}

#[test]
fn the_bridge_obeys() {
    let local = socket("10.0.0.1:20002");
    let mut subject = Subject::new(bridge_host)
        .command(ms(0), |host, now| {
            for command in [open(1), open(2), open(3)] {
                dictate(host, command, now);
            }
            dictate(host, configure(1, PayloadFormat::pcma()), now);
            dictate(host, configure(2, PayloadFormat::pcmu()), now);
            dictate(host, configure(3, PayloadFormat::pcma()), now);
            dictate(host, MediaCommand::Connect { leg: LegId(1), to: Connection::Leg(LegId(2)) }, now);
            let to = Connection::Source(Source::MILLIWATT);
            dictate(host, MediaCommand::Connect { leg: LegId(3), to }, now);
        })
        .command(ms(300), |host, now| {
            dictate(host, MediaCommand::SendDigits { leg: LegId(2), digits: "1#".into() }, now);
        })
        .command(ms(400), |host, now| {
            let spec = RecordingSpec::new(Sides::Stereo);
            dictate(host, MediaCommand::Record { leg: LegId(1), recording: RecordingId(1), spec }, now);
            let program = Program::tone(dtmf::dial("159", dtmf::Sending::default()));
            dictate(host, MediaCommand::Announce { leg: LegId(2), program }, now);
            dictate(host, MediaCommand::Detect { leg: LegId(1), in_band_digits: true }, now);
        })
        .command(ms(700), |host, now| {
            dictate(host, MediaCommand::Connect { leg: LegId(3), to: Connection::Leg(LegId(1)) }, now);
        })
        .command(ms(1000), |host, now| {
            for leg in 1..=3 {
                let to = Connection::Conference(ConferenceId(1));
                dictate(host, MediaCommand::Connect { leg: LegId(leg), to }, now);
            }
            dictate(host, MediaCommand::Mute { leg: LegId(2), muted: true }, now);
        })
        .command(ms(1500), |host, now| {
            for leg in 1..=4 {
                dictate(host, MediaCommand::Close { leg: LegId(leg) }, now);
            }
        });
    for packet in 0..40u16 {
        let payload = rtp(packet, 8);
        subject = subject.input(
            ms(20 + 20 * u64::from(packet)),
            Stimulus::Datagram { local, remote: socket("10.0.0.9:4010"), payload },
        );
    }
    subject
        .flood(500, move |n| Stimulus::Datagram {
            local,
            remote: SocketAddr::from(([10, 0, 0, 9], 1000 + u16::try_from(n).unwrap())),
            payload: rtp(u16::try_from(n).unwrap(), 8),
        })
        .bounds(Bounds { outputs_per_input: 64, holdings: 100 })
        .until(Duration::from_secs(5))
        .bent_runs(50)
        .check()
        .unwrap();
}

fn phone(seed: [u8; 32], now: Instant) -> Host<UserAgent> {
    let listener = Listener::new(Protocol::Udp, socket("10.0.0.1:5060"));
    let agent = UserAgent::new(UserAgentConfig::new(vec![listener]), Seed(seed), now);
    let react = |agent: &mut UserAgent, event: Event, now| match event {
        Event::Incoming { call, .. } => {
            // Under bent inputs it may be gone already.
            let _ = agent.answer(call, now);
            Some("incoming".to_owned())
        }
        Event::Sound { call, samples } => {
            let _ = agent.say(call, &samples);
            None
        }
        Event::Ended { reason, .. } => Some(format!("ended {reason}")),
        other => Some(format!("{other:?}")),
    };
    Host::new(agent, seed[0], now, Box::new(react))
}

const INVITE: &str = "INVITE sip:bob@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK1\r\n\
    Max-Forwards: 70\r\nFrom: <sip:ann@10.0.0.9>;tag=1\r\nTo: <sip:bob@10.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
    Contact: <sip:ann@10.0.0.9>\r\nContent-Type: application/sdp\r\nContent-Length: 117\r\n\r\n\
    v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4010 RTP/AVP 8 101\r\n\
    a=rtpmap:101 telephone-event/8000\r\n";

#[test]
fn the_user_agent_obeys() {
    let (local, remote) = (socket("10.0.0.1:5060"), socket("10.0.0.9:5060"));
    let body = INVITE.split("\r\n\r\n").nth(1).unwrap();
    let invite = INVITE.replace("Content-Length: 117", &format!("Content-Length: {}", body.len()));
    Subject::new(phone)
        .command(ms(0), |host, now| {
            host.act(now, |agent, now| {
                let account = agent.add_account(Account::new("bob", "example.org"));
                let _ = agent.call(account, "sip:carol@10.0.0.8", now);
            });
        })
        .input(ms(100), Stimulus::Datagram { local, remote, payload: invite.into_bytes() })
        .command(ms(900), |host, now| {
            host.act(now, |agent, now| {
                let calls: Vec<_> = agent.calls().collect();
                for call in calls {
                    let _ = agent.press(call, "12", now);
                    let _ = agent.hold(call, now);
                }
            });
        })
        .command(ms(2000), |host, now| host.act(now, |agent, now| agent.shut_down(now)))
        .bounds(Bounds { outputs_per_input: 128, holdings: 100 })
        .until(Duration::from_secs(60))
        .bent_runs(50)
        .check()
        .unwrap();
}
