//! Who is followed, and who is not: phones behind NAT on one side, thieves on the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use denwa_rtp::latch::{Config, Ground, Latch, Policy, Rank, Refusal, Sample, Verdict};
use proptest::prelude::*;

const PTIME: Duration = Duration::from_millis(20);
const SIGNALLED: &str = "192.168.1.50:7078";
const NAT: &str = "203.0.113.7:31000";
const THIEF: &str = "198.51.100.66:6666";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

struct Scene {
    latch: Latch,
    start: Instant,
}

impl Scene {
    fn new(config: Config) -> Self {
        let start = Instant::now();
        Self { latch: Latch::new(config, Some(address(SIGNALLED)), start), start }
    }

    fn packet(&mut self, from: &str, ssrc: u32, sequence: u16, at: Duration) -> Verdict {
        let sample = Sample { from: address(from), ssrc, sequence, authenticated: false };
        self.latch.judge(sample, self.start + at)
    }

    /// `count` packets, 20 ms apart, the first at `at`; how many were listened to.
    fn stream(&mut self, from: &str, ssrc: u32, first: u16, count: u16, at: Duration) -> usize {
        (0..count)
            .filter(|step| {
                let verdict =
                    self.packet(from, ssrc, first.wrapping_add(*step), at + PTIME * u32::from(*step));
                !matches!(verdict, Verdict::Refuse(_))
            })
            .count()
    }

    fn destination(&self) -> SocketAddr {
        self.latch.destination().unwrap()
    }
}

#[test]
fn before_any_packet_we_send_where_we_were_told() {
    let scene = Scene::new(Config::default());
    assert_eq!(scene.destination(), address(SIGNALLED));
    assert_eq!(scene.latch.followed(), None);
}

#[test]
fn the_signalled_address_is_believed_at_once() {
    let mut scene = Scene::new(Config::default());
    let Verdict::Moved(learned) = scene.packet(SIGNALLED, 1, 10, PTIME) else { panic!() };
    assert_eq!((learned.rank, learned.ground, learned.sequence), (Rank::Signalled, Ground::AsSignalled, 10));
}

#[test]
fn a_phone_behind_nat_is_followed_after_four_packets() {
    let mut scene = Scene::new(Config::default());
    assert_eq!(scene.stream(NAT, 1, 10, 3, Duration::ZERO), 0);
    let Verdict::Moved(learned) = scene.packet(NAT, 1, 13, PTIME * 3) else { panic!() };
    assert_eq!(learned.to, address(NAT));
    assert_eq!((learned.rank, learned.ground), (Rank::Stranger, Ground::ConsecutivePackets));
    assert_eq!((learned.from, learned.ssrc, learned.sequence, learned.contested), (None, 1, 13, false));
    assert_eq!(scene.destination(), address(NAT));
    let evidence = scene.latch.evidence();
    assert_eq!(evidence.learned, [learned]);
    assert_eq!(evidence.refused, 3);
}

#[test]
fn rtpbleed_spraying_steals_no_established_call() {
    let mut scene = Scene::new(Config::default());
    scene.stream(SIGNALLED, 1, 10, 100, Duration::ZERO);
    // The thief sprays well-formed packets in sequence for a minute, the call going on or pausing.
    assert_eq!(scene.stream(THIEF, 99, 1, 3000, PTIME * 100), 0);
    assert_eq!(scene.destination(), address(SIGNALLED));
}

#[test]
fn rtpbleed_a_call_whose_peer_never_sends_is_not_stolen_after_the_window() {
    let mut scene = Scene::new(Config::default());
    assert_eq!(scene.stream(THIEF, 99, 1, 3000, Duration::from_secs(10)), 0);
    assert_eq!(scene.destination(), address(SIGNALLED));
    assert_eq!(scene.latch.evidence().last_refused.unwrap().2, Refusal::WindowClosed);
}

#[test]
fn rtpbleed_bursts_and_single_packets_teach_nothing() {
    let mut scene = Scene::new(Config::default());
    // A thousand packets at the same instant, in sequence: no voice is like that.
    for sequence in 0..1000 {
        let verdict = scene.packet(THIEF, 99, sequence, PTIME);
        assert!(matches!(verdict, Verdict::Refuse(Refusal::Learning)), "{verdict:?}");
    }
    // One packet a second with random numbers.
    for second in 0..9u16 {
        let verdict = scene.packet(THIEF, 99, second.wrapping_mul(7919), Duration::from_secs(second.into()));
        assert!(matches!(verdict, Verdict::Refuse(_)));
    }
    assert_eq!(scene.destination(), address(SIGNALLED));
}

#[test]
fn rtpbleed_a_thief_who_was_first_loses_to_the_signalled_address() {
    let mut scene = Scene::new(Config::default());
    scene.stream(THIEF, 99, 1, 20, Duration::ZERO);
    assert_eq!(scene.destination(), address(THIEF), "nothing spoke against it");
    let Verdict::Moved(learned) = scene.packet(SIGNALLED, 1, 10, PTIME * 20) else { panic!() };
    assert!(learned.contested, "and the evidence says so");
    assert_eq!(scene.stream(THIEF, 99, 21, 1000, PTIME * 20), 0, "it never comes back");
    assert_eq!(scene.destination(), address(SIGNALLED));
}

#[test]
fn the_latch_never_flips_between_two_strangers() {
    let mut scene = Scene::new(Config::default());
    let mut moves = 0;
    for step in 0..500u16 {
        let at = PTIME * u32::from(step);
        for (from, ssrc) in [(NAT, 1), (THIEF, 99)] {
            moves += usize::from(matches!(scene.packet(from, ssrc, step, at), Verdict::Moved(_)));
        }
    }
    assert_eq!(moves, 1);
    assert!(scene.latch.evidence().learned[0].contested);
}

#[test]
fn another_port_of_the_signalled_host_is_nearly_as_good() {
    let mut scene = Scene::new(Config::default());
    assert!(matches!(scene.packet("192.168.1.50:9999", 1, 1, Duration::from_secs(60)), Verdict::Refuse(_)));
    let Verdict::Moved(learned) = scene.packet("192.168.1.50:9999", 1, 2, Duration::from_secs(60) + PTIME)
    else {
        panic!("the host is learned at any time while nobody is followed")
    };
    assert_eq!(learned.rank, Rank::SignalledHost);
    assert_eq!(scene.stream(THIEF, 99, 1, 100, Duration::from_secs(61)), 0);
}

#[test]
fn the_host_the_signalling_came_from_beats_a_stranger() {
    let mut scene = Scene::new(Config::default());
    scene.latch.know_host(address(NAT).ip());
    scene.stream(THIEF, 99, 1, 20, Duration::ZERO);
    assert_eq!(scene.stream(NAT, 1, 1, 10, PTIME * 20), 9);
    assert_eq!(scene.destination(), address(NAT));
    assert_eq!(scene.latch.evidence().learned.last().unwrap().rank, Rank::KnownHost);
}

#[test]
fn a_nat_that_gives_the_running_stream_a_new_port_is_followed_long_after_the_window() {
    let mut scene = Scene::new(Config::default());
    scene.stream(NAT, 0xdead_beef, 10, 3000, Duration::ZERO);
    // 60 s later the binding changes; a thief tries at the same time and cannot know SSRC and number.
    let at = Duration::from_secs(61) + PTIME;
    assert_eq!(scene.stream(THIEF, 99, 1, 20, at), 0);
    assert_eq!(scene.stream("203.0.113.7:40000", 0xdead_beef, 3061, 10, at + PTIME * 20), 7);
    let learned = *scene.latch.evidence().learned.last().unwrap();
    assert_eq!(learned.ground, Ground::Continuation);
    assert_eq!(scene.destination(), address("203.0.113.7:40000"));
}

#[test]
fn while_the_stream_lives_its_continuation_elsewhere_is_a_forgery() {
    let mut scene = Scene::new(Config::default());
    for step in 0..2000u16 {
        let at = PTIME * u32::from(step);
        scene.packet(NAT, 7, step, at);
        if step > 600 {
            assert!(matches!(scene.packet(THIEF, 7, step + 1, at), Verdict::Refuse(_)));
        }
    }
}

#[test]
fn authenticated_packets_suffice_at_once_and_anywhere() {
    let mut scene = Scene::new(Config::default());
    let authentic =
        |from: &str, sequence| Sample { from: address(from), ssrc: 1, sequence, authenticated: true };
    let start = scene.start;
    let Verdict::Moved(learned) = scene.latch.judge(authentic(NAT, 1), start + Duration::from_secs(3600))
    else {
        panic!()
    };
    assert_eq!(learned.ground, Ground::Authenticated);
    // The phone walks from one network into another.
    let moved = start + Duration::from_secs(3700);
    assert!(matches!(scene.latch.judge(authentic("203.0.113.99:5", 2), moved), Verdict::Moved(_)));
    // An echo of an older packet from elsewhere moves nothing, nor does the old address while the new one lives.
    assert!(matches!(scene.latch.judge(authentic(THIEF, 1), moved), Verdict::Refuse(_)));
    assert!(matches!(scene.latch.judge(authentic(NAT, 3), moved), Verdict::Refuse(_)));
    let later = moved + Duration::from_secs(2);
    assert!(matches!(scene.latch.judge(authentic(NAT, 4), later), Verdict::Moved(_)));
}

#[test]
fn a_re_invite_arms_the_latch_again() {
    let mut scene = Scene::new(Config::default());
    scene.stream(NAT, 1, 10, 100, Duration::ZERO);
    let later = Duration::from_secs(100);
    let start = scene.start;
    scene.latch.arm(Some(address("192.168.1.51:8000")), start + later);
    assert_eq!(scene.destination(), address("192.168.1.51:8000"), "the new word counts until packets speak");
    assert_eq!(scene.stream("203.0.113.8:1234", 2, 10, 10, later), 7);
    // The same word again keeps what was learned under it.
    scene.latch.arm(Some(address("192.168.1.51:8000")), start + later * 2);
    assert_eq!(scene.destination(), address("203.0.113.8:1234"));
}

#[test]
fn policies_limit_what_is_learned() {
    let with = |policy| Scene::new(Config { policy, ..Config::default() });
    let mut scene = with(Policy::Signalled);
    assert_eq!(scene.stream("192.168.1.50:1", 1, 1, 10, Duration::ZERO), 0);
    assert_eq!(scene.stream(SIGNALLED, 1, 1, 10, Duration::ZERO), 10);
    let mut scene = with(Policy::KnownHosts);
    assert_eq!(scene.stream(NAT, 1, 1, 10, Duration::ZERO), 0);
    assert_eq!(scene.stream("192.168.1.50:1", 1, 1, 10, Duration::ZERO), 9);
    let mut scene = with(Policy::Open);
    assert_eq!(scene.stream(NAT, 1, 1, 10, Duration::ZERO), 10);
    assert_eq!(scene.stream(THIEF, 1, 1, 10, Duration::ZERO), 10);
}

#[test]
fn control_is_believed_from_the_followed_host_only() {
    let mut scene = Scene::new(Config::default());
    assert!(scene.latch.trusts_control_from(address("192.168.1.50:7079")));
    assert!(!scene.latch.trusts_control_from(address(THIEF)));
    scene.stream(NAT, 1, 10, 10, Duration::ZERO);
    assert!(scene.latch.trusts_control_from(address("203.0.113.7:31001")));
    assert!(!scene.latch.trusts_control_from(address(THIEF)));
}

#[test]
fn the_table_of_candidates_is_limited() {
    let mut scene = Scene::new(Config::default());
    for port in 1..60_000u16 {
        let from = format!("198.51.100.66:{port}");
        assert!(matches!(scene.packet(&from, 1, 1, PTIME), Verdict::Refuse(Refusal::Learning)));
    }
    // It is full of single packets; they make room once they are stale.
    assert_eq!(scene.stream(NAT, 1, 10, 60, Duration::from_millis(1100)), 57);
}

proptest! {
    /// Whatever arrives from wherever: the rank never falls while the present address lives, and moves are bounded.
    #[test]
    fn a_latch_climbs_and_does_not_wander(
        packets in prop::collection::vec((0usize..4, 0u32..3, 0u16..12, 0u64..80), 0..600),
    ) {
        let hosts = [SIGNALLED, "192.168.1.50:9", NAT, THIEF];
        let mut scene = Scene::new(Config::default());
        let mut at = Duration::ZERO;
        let mut last: Option<(Rank, Duration)> = None;
        let mut moves = 0;
        for (host, ssrc, sequence, gap) in packets {
            at += Duration::from_millis(gap);
            match scene.packet(hosts[host], ssrc, sequence, at) {
                Verdict::Moved(learned) => {
                    moves += 1;
                    if let Some((rank, heard)) = last {
                        prop_assert!(learned.rank > rank || at - heard >= Duration::from_secs(1));
                    }
                    last = Some((learned.rank, at));
                }
                Verdict::Accept => last = last.map(|(rank, _)| (rank, at)),
                Verdict::Refuse(_) => {}
            }
        }
        prop_assert!(moves <= 8 + 4 * 9);
    }
}
