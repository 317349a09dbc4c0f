use super::*;
use proptest::prelude::*;
use std::time::Duration;

struct Watch {
    guard: Guard,
    start: Instant,
    now: Instant,
}

impl Watch {
    fn new(config: GuardConfig) -> Self {
        let start = Instant::now();
        Self { guard: Guard::new(config, Seed([7; 32]), start), start, now: start }
    }

    /// Lets time pass as a driver does: every deadline on the way is served.
    fn pass(&mut self, by: Duration) -> Vec<Event> {
        let goal = self.now + by;
        let mut events = Vec::new();
        while let Some(deadline) = self.guard.poll_timeout().filter(|deadline| *deadline <= goal) {
            self.now = self.now.max(deadline);
            self.guard.handle_timeout(self.now);
            events.extend(self.events());
            let next = self.guard.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a deadline that was served lies ahead");
        }
        self.now = goal;
        events
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.guard.poll_output()).map(|Output::Event(event)| event).collect()
    }

    fn offend(&mut self, source: &str, offence: Offence, account: Option<&str>) -> Vec<Event> {
        self.guard.handle_input(Input::Offence { source: socket(source), offence, account }, self.now);
        self.events()
    }

    fn admit(&mut self, source: &str) -> Verdict {
        self.guard.admit(socket(source), self.now)
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn address(text: &str) -> Subject {
    Subject::Address(Network::new(text.parse().unwrap(), if text.contains(':') { 64 } else { 32 }).unwrap())
}

const STRANGER: Verdict = Verdict::Admit(Standing::Stranger);
const BANNED: Verdict = Verdict::Refuse(Refusal::Banned);

#[test]
fn ten_guesses_pass_and_the_eleventh_bans() {
    let mut watch = Watch::new(GuardConfig::default());
    for guess in 0..10 {
        assert_eq!(watch.offend("198.51.100.7:5060", Offence::WrongPassword, None), [], "guess {guess}");
    }
    assert_eq!(watch.admit("198.51.100.7:5060"), STRANGER);
    assert_eq!(
        watch.offend("198.51.100.7:5060", Offence::WrongPassword, None),
        [Event::Banned {
            subject: address("198.51.100.7"),
            offence: Offence::WrongPassword,
            times: 1,
            until: watch.at(300)
        }]
    );
    assert_eq!(watch.admit("198.51.100.7:5060"), BANNED);
    assert_eq!(watch.admit("198.51.100.7:61000"), BANNED, "another port of the same host");
    assert_eq!(watch.admit("198.51.100.8:5060"), STRANGER, "its neighbour");
    let events = watch.pass(Duration::from_secs(300));
    assert_eq!(events, [Event::Lifted { subject: address("198.51.100.7"), refused: 2 }]);
    assert_eq!(watch.admit("198.51.100.7:5060"), STRANGER);
}

#[test]
fn a_phone_with_an_old_password_that_tries_each_minute_is_never_banned() {
    let mut watch = Watch::new(GuardConfig::default());
    for _ in 0..1000 {
        assert_eq!(watch.offend("198.51.100.7:5060", Offence::WrongPassword, Some("200")), []);
        watch.pass(Duration::from_secs(60));
    }
}

#[test]
fn each_ban_lasts_twice_as_long_up_to_a_day_and_quiet_is_forgiven() {
    let mut watch = Watch::new(GuardConfig::default());
    let mut lengths = Vec::new();
    for _ in 0..11 {
        let events = watch.offend("198.51.100.7:5060", Offence::Scanner, None);
        let [Event::Banned { until, .. }] = events.as_slice() else { panic!("{events:?}") };
        let length = *until - watch.now;
        lengths.push(length.as_secs());
        watch.pass(length);
    }
    assert_eq!(lengths, [300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 76_800, 86_400, 86_400]);
    watch.pass(Duration::from_secs(24 * 3600));
    assert_eq!(watch.guard.report(10), [], "forgotten");
    let events = watch.offend("198.51.100.7:5060", Offence::Scanner, None);
    assert!(matches!(events.as_slice(), [Event::Banned { times: 1, .. }]), "{events:?}");
}

#[test]
fn a_registered_phone_speaks_on_while_its_neighbour_behind_the_router_is_banned() {
    let mut watch = Watch::new(GuardConfig::default());
    let until = watch.at(3600);
    let phone = socket("203.0.113.1:40001");
    watch.guard.handle_input(Input::Vouched { source: phone, account: "1001", until }, watch.now);
    watch.offend("203.0.113.1:40002", Offence::Scanner, None);
    assert_eq!(watch.admit("203.0.113.1:40002"), BANNED);
    assert_eq!(watch.admit("203.0.113.1:40001"), Verdict::Admit(Standing::Vouched));
    watch.offend("203.0.113.1:40001", Offence::Scanner, None);
    assert_eq!(watch.admit("203.0.113.1:40001"), Verdict::Admit(Standing::Vouched), "forged or not");
    watch.pass(Duration::from_secs(3600));
    assert_eq!(watch.admit("203.0.113.1:40001"), STRANGER, "the proof ended; so has the ban");
}

#[test]
fn a_withdrawn_proof_ends_at_once() {
    let mut watch = Watch::new(GuardConfig::default());
    let (source, until) = (socket("203.0.113.1:40001"), watch.at(3600));
    watch.guard.handle_input(Input::Vouched { source, account: "1001", until }, watch.now);
    watch.guard.handle_input(Input::VouchWithdrawn { source }, watch.now);
    assert_eq!(watch.admit("203.0.113.1:40001"), STRANGER);
    watch.guard.handle_timeout(watch.now);
    assert_eq!(watch.pass(Duration::from_secs(7200)), []);
    assert_eq!(watch.guard.poll_timeout(), None);
}

#[test]
fn five_banned_addresses_ban_their_prefix() {
    let mut watch = Watch::new(GuardConfig::default());
    for host in 1..=4 {
        watch.offend(&format!("198.51.100.{host}:5060"), Offence::Scanner, None);
    }
    assert_eq!(watch.admit("198.51.100.200:5060"), STRANGER);
    let events = watch.offend("198.51.100.5:5060", Offence::Scanner, None);
    assert!(
        matches!(events.as_slice(), [_, Event::Banned { subject: Subject::Prefix(prefix), .. }]
            if prefix.to_string() == "198.51.100.0/24"),
        "{events:?}"
    );
    assert_eq!(watch.admit("198.51.100.200:5060"), Verdict::Refuse(Refusal::PrefixBanned));
    assert_eq!(watch.admit("198.51.101.200:5060"), STRANGER);
}

#[test]
fn an_ipv6_host_cannot_hop_through_its_own_network() {
    let mut watch = Watch::new(GuardConfig::default());
    watch.offend("[2001:db8:1:2::3]:5060", Offence::Scanner, None);
    assert_eq!(watch.admit("[2001:db8:1:2:ffff::9]:5060"), BANNED);
    assert_eq!(watch.admit("[2001:db8:1:3::3]:5060"), STRANGER);
}

#[test]
fn an_account_guessed_from_many_places_is_closed_to_strangers_only() {
    let mut watch = Watch::new(GuardConfig::default());
    let until = watch.at(3600);
    let phone = socket("192.0.2.1:5060");
    watch.guard.handle_input(Input::Vouched { source: phone, account: "200", until }, watch.now);
    for host in 0..20 {
        let source = format!("10.0.{host}.1:5060");
        assert_eq!(watch.offend(&source, Offence::WrongPassword, Some("200")), []);
    }
    let events = watch.offend("10.0.99.1:5060", Offence::WrongPassword, Some("200"));
    assert!(matches!(events.as_slice(), [Event::Banned { subject: Subject::Account(_), .. }]), "{events:?}");
    assert!(!watch.guard.admits_account("200", socket("10.0.200.1:5060"), watch.now));
    assert!(watch.guard.admits_account("200", phone, watch.now));
    assert!(watch.guard.admits_account("201", socket("10.0.200.1:5060"), watch.now));
    watch.pass(Duration::from_secs(300));
    assert!(watch.guard.admits_account("200", socket("10.0.200.1:5060"), watch.now));
}

#[test]
fn exempt_networks_are_never_refused() {
    let exempt = vec!["192.168.0.0/16".parse().unwrap()];
    let mut watch = Watch::new(GuardConfig { exempt, ..GuardConfig::default() });
    for _ in 0..10_000 {
        watch.offend("192.168.1.9:5060", Offence::Scanner, Some("200"));
        assert_eq!(watch.admit("192.168.1.9:5060"), Verdict::Admit(Standing::Exempt));
        assert_eq!(watch.admit("[::ffff:192.168.1.9]:5060"), Verdict::Admit(Standing::Exempt));
    }
}

#[test]
fn a_flood_is_cut_to_its_limit_and_then_banned() {
    let mut watch = Watch::new(GuardConfig::default());
    let admitted = (0..1000).filter(|_| watch.admit("198.51.100.7:5060") == STRANGER).count();
    assert_eq!(admitted, 400);
    assert!(matches!(watch.events().as_slice(), [Event::Banned { offence: Offence::Flood, .. }]));
    assert_eq!(watch.guard.counts().too_fast, 11, "those that made the ban; the rest met it");
    assert_eq!(watch.guard.counts().banned, 589);
}

#[test]
fn strangers_from_everywhere_are_limited_together_and_the_vouched_are_not() {
    let mut watch = Watch::new(GuardConfig::default());
    let until = watch.at(3600);
    let phone = socket("192.0.2.1:5060");
    watch.guard.handle_input(Input::Vouched { source: phone, account: "200", until }, watch.now);
    let admitted = (0..100_000u32)
        .filter(|n| {
            let source = SocketAddr::new(IpAddr::V4((0x0b00_0000 + n * 257).into()), 5060);
            watch.guard.admit(source, watch.now) == STRANGER
        })
        .count();
    assert_eq!(admitted, 4000);
    assert_eq!(watch.guard.admit(phone, watch.now), Verdict::Admit(Standing::Vouched));
    let events = watch.events();
    assert_eq!(events.first(), Some(&Event::StrangersLimited));
    assert_eq!(events.len(), 2, "and the table was full once: {events:?}");
    watch.pass(Duration::from_secs(5));
    assert_eq!(watch.admit("198.51.100.7:5060"), STRANGER);
}

#[test]
fn a_full_table_gives_up_passers_by_before_the_banned() {
    let config = GuardConfig { sources_limit: 100, ..GuardConfig::default() };
    let mut watch = Watch::new(config);
    watch.offend("198.51.100.7:5060", Offence::Scanner, None);
    for n in 0..1000u32 {
        watch.guard.admit(SocketAddr::new(IpAddr::V4((0x0b00_0000 + n * 257).into()), 5060), watch.now);
    }
    assert_eq!(watch.admit("198.51.100.7:5060"), BANNED);
    assert!(watch.guard.sources.iter().count() <= 100);
}

#[test]
fn a_pardon_lifts_address_and_prefix() {
    let mut watch = Watch::new(GuardConfig::default());
    for host in 1..=5 {
        watch.offend(&format!("198.51.100.{host}:5060"), Offence::Scanner, None);
    }
    watch.guard.handle_input(Input::Pardoned { network: "198.51.100.3/32".parse().unwrap() }, watch.now);
    let lifted = watch.events();
    assert_eq!(lifted.len(), 2, "{lifted:?}");
    assert_eq!(watch.admit("198.51.100.3:5060"), STRANGER);
    assert_eq!(watch.admit("198.51.100.4:5060"), BANNED);
}

#[test]
fn the_report_says_who_and_why() {
    let mut watch = Watch::new(GuardConfig::default());
    watch.offend("198.51.100.7:5060", Offence::Malformed, None);
    watch.offend("198.51.100.9:5060", Offence::UnknownAccount, Some("admin"));
    watch.offend("198.51.100.9:5060", Offence::Scanner, None);
    watch.admit("198.51.100.9:5060");
    let report = watch.guard.report(10);
    assert_eq!(report.len(), 3, "two addresses and the prefix of the banned one");
    assert_eq!(report[0].subject, address("198.51.100.9"));
    assert_eq!(report[0].offences, [(Offence::UnknownAccount, 1), (Offence::Scanner, 1)]);
    assert_eq!((report[0].refused, report[0].bans), (1, 1));
    assert_eq!(watch.guard.report(1).len(), 1);
}

proptest! {
    /// Whatever happens: the same seed tells the same story, tables stay within their limits, deadlines lie ahead once served.
    #[test]
    fn any_history(operations in proptest::collection::vec((0u8..6, 0u8..12, 0u64..200), 0..300)) {
        let config = GuardConfig { sources_limit: 8, accounts_limit: 4, vouched_limit: 4, ..GuardConfig::default() };
        let mut twins = [Watch::new(config.clone()), Watch::new(config)];
        twins[1].start = twins[0].start;
        twins[1].now = twins[0].now;
        twins[1].guard.latest = twins[0].guard.latest;
        for (operation, host, seconds) in operations {
            let source = SocketAddr::new(IpAddr::V4((0x0b00_0000 + u32::from(host) * 100).into()), 5060);
            let mut stories = Vec::new();
            for watch in &mut twins {
                let mut story = Vec::new();
                let verdict = watch.guard.admit(source, watch.now);
                match operation {
                    0 => story = watch.pass(Duration::from_secs(seconds)),
                    1 => watch.guard.handle_input(
                        Input::Vouched { source, account: "1", until: watch.now + Duration::from_secs(seconds) },
                        watch.now,
                    ),
                    2 => watch.guard.handle_input(Input::VouchWithdrawn { source }, watch.now),
                    3 => watch.guard.handle_input(
                        Input::Pardoned { network: Network::new(source.ip(), 24).unwrap() },
                        watch.now,
                    ),
                    _ => watch.guard.handle_input(
                        Input::Offence {
                            source,
                            offence: Offence::ALL[usize::from(host) % 8],
                            account: Some(if host % 2 == 0 { "1" } else { "2" }),
                        },
                        watch.now,
                    ),
                }
                story.extend(watch.events());
                let guard = &watch.guard;
                prop_assert!(guard.sources.iter().count() <= 8 && guard.vouched.len() <= 4);
                prop_assert_eq!(guard.vouched.len(), guard.vouched_until.len());
                prop_assert!(guard.accounts.iter().count() <= 4);
                stories.push((verdict, story, guard.report(100)));
            }
            prop_assert_eq!(&stories[0].0, &stories[1].0);
            prop_assert_eq!(&stories[0].1, &stories[1].1);
            prop_assert_eq!(&stories[0].2, &stories[1].2);
        }
    }
}
