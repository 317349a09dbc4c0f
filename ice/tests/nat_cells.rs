//! Every pair of ways to be connected, with and without TURN: which path is taken and how long it takes, beside what theory
//! says. The table goes to `docs/nat-cells.md` when `DENWA_WRITE_DOCS=1` is set, and must be the same as that file otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::agents::*;
use common::*;
use denwa_ice::candidate::{CandidateAddress, CandidateKind};
use std::fmt::Write;

/// Whether two ends can find a direct UDP path by hole punching: what mapping and filtering allow (RFC 5128, RFC 4787).
fn punchable(a: Access, b: Access) -> bool {
    use Access::*;
    let symmetric = |it| matches!(it, Symmetric | MapE);
    let by_address = |it| it == AddressDependent;
    // An end whose public address is the same for everybody.
    let stable = |it| matches!(it, Open | Independent | AddressRestricted | PortRestricted | Double);
    // An end that lets packets in from any port of an address it has sent to, or from anybody.
    let lax = |it| matches!(it, Open | Independent | AddressRestricted);
    match (a, b) {
        (NoUdp, _) | (_, NoUdp) | (SharedCarrier, _) | (_, SharedCarrier) => false,
        _ if stable(a) && stable(b) => true,
        // One end's port is only known when its packet arrives: the other must let that packet in.
        _ if stable(a) && (symmetric(b) || by_address(b)) => lax(a),
        _ if stable(b) && (symmetric(a) || by_address(a)) => lax(b),
        _ => false,
    }
}

fn kind(kind: CandidateKind) -> &'static str {
    match kind {
        CandidateKind::Host => "host",
        CandidateKind::ServerReflexive => "srflx",
        CandidateKind::PeerReflexive => "prflx",
        CandidateKind::Relayed => "relay",
    }
}

struct Cell {
    path: Option<String>,
    direct: bool,
    milliseconds: u128,
}

/// Connects two ends, checks that media flows, and tells the path.
fn cell(plan: &Plan) -> Cell {
    let mut session = plan.start();
    let Some(time) = session.connect(secs(60)) else {
        return Cell { path: None, direct: false, milliseconds: 0 };
    };
    session.assert_media();
    let report = session.node(session.a).path().unwrap();
    // The peer's kind as the peer has gathered it, not as we have learnt it.
    let peer = session.node(session.b).path().unwrap();
    let relayed = |candidate: &denwa_ice::Candidate| match candidate.address {
        CandidateAddress::Ip(address) => {
            address.ip() == ip("198.51.100.1") || address.ip() == ip("2001:db8:ffff::1")
        }
        CandidateAddress::Name(..) => false,
    };
    let direct = !relayed(&report.local) && !relayed(&report.remote);
    let path = format!("{} – {}", kind(report.local.kind), kind(peer.local.kind));
    Cell { path: Some(path), direct, milliseconds: time.as_millis() }
}

/// A table of every pair; `vary` changes what a cell is tried with.
fn table(turn: bool, vary: impl Fn(&mut Plan)) -> String {
    let mut text = String::new();
    let heads: Vec<_> = Access::ALL.iter().map(|access| access.name()).collect();
    writeln!(text, "| A \\ B | {} |", heads.join(" | ")).unwrap();
    writeln!(text, "|---|{}", "---|".repeat(heads.len())).unwrap();
    for a in Access::ALL {
        write!(text, "| **{}** |", a.name()).unwrap();
        for b in Access::ALL {
            let mut plan = Plan::between(Home::behind(a, 1), Home::behind(b, 2));
            plan.turn = turn;
            // Whoever has no UDP reaches its server over TCP, as a browser would try.
            plan.turn_tcp = turn && (a == Access::NoUdp || b == Access::NoUdp);
            vary(&mut plan);
            let cell = cell(&plan);
            let name = format!("{} – {} (TURN: {turn})", a.name(), b.name());
            let theory = punchable(a, b);
            if turn {
                assert!(cell.path.is_some(), "{name}: TURN connects everything");
            } else {
                assert_eq!(cell.path.is_some(), theory, "{name}: theory says {theory}");
            }
            assert!(
                !cell.direct || theory,
                "{name}: a direct path that theory does not know: {:?}",
                cell.path
            );
            if plan.link.loss == denwa_sim::Loss::None {
                assert_eq!(
                    cell.direct, theory,
                    "{name}: the direct path where there is one, not {:?}",
                    cell.path
                );
            }
            match cell.path {
                Some(path) => write!(text, " {path}, {} ms |", cell.milliseconds).unwrap(),
                None => write!(text, " none |").unwrap(),
            }
        }
        writeln!(text).unwrap();
    }
    text
}

/// A full end everywhere, and a lite one on a public address, as a gateway is.
fn lite_table() -> String {
    let mut text = "| full end behind | trickling | not trickling |\n|---|---|---|\n".to_owned();
    for access in Access::ALL {
        write!(text, "| **{}** |", access.name()).unwrap();
        for trickle in [true, false] {
            let mut plan = Plan::between(Home::behind(access, 1), Home::behind(Access::Open, 2));
            plan.configs[1].lite = true;
            plan.trickle = trickle;
            let cell = cell(&plan);
            assert_eq!(cell.path.is_some(), access != Access::NoUdp, "{}", access.name());
            match cell.path {
                Some(path) => write!(text, " {path}, {} ms |", cell.milliseconds).unwrap(),
                None => write!(text, " none |").unwrap(),
            }
        }
        writeln!(text).unwrap();
    }
    text
}

/// IPv4 behind boxes, IPv6 behind firewalls that let only answers in.
fn dual_stack_table() -> String {
    let mut text = "| A has | B has | path |\n|---|---|---|\n".to_owned();
    let home = |site, v4, v6| Home { v4, v6, ..Home::behind(Access::Symmetric, site) };
    let name = |home: &Home| match (home.v4, home.v6) {
        (true, true) => "both",
        (true, false) => "IPv4",
        _ => "IPv6",
    };
    for (a, b) in [
        (home(1, true, true), home(2, true, true)),
        (home(1, false, true), home(2, true, true)),
        (home(1, true, true), home(2, true, false)),
        (home(1, false, true), home(2, true, false)),
    ] {
        let mut plan = Plan::between(a, b);
        plan.turn = true;
        let cell = cell(&plan);
        // With IPv6 at both ends firewalls are punched through; where only a box stands, TURN; between the families only a server with both.
        assert_eq!(cell.path.is_some() && cell.direct, a.v6 && b.v6, "{a:?} {b:?} {:?}", cell.path);
        assert!(cell.path.is_some(), "{a:?} {b:?}");
        match cell.path {
            Some(path) => {
                writeln!(text, "| {} | {} | {path}, {} ms |", name(&a), name(&b), cell.milliseconds).unwrap()
            }
            None => writeln!(text, "| {} | {} | none |", name(&a), name(&b)).unwrap(),
        }
    }
    text
}

/// Two ends behind the same box.
fn same_site() -> String {
    let mut text = "| both behind one | hairpinning | path |\n|---|---|---|\n".to_owned();
    for access in
        [Access::Independent, Access::PortRestricted, Access::Symmetric, Access::MapE, Access::Double]
    {
        for hairpin in [false, true] {
            let home = Home { hairpin, ..Home::behind(access, 1) };
            let cell = cell(&Plan::between(home, home));
            let path = cell.path.expect("ends of one network always find each other");
            assert!(path.starts_with("host"), "{path}");
            let hairpin = if hairpin { "yes" } else { "no" };
            writeln!(text, "| {} | {hairpin} | {path}, {} ms |", access.name(), cell.milliseconds).unwrap();
        }
    }
    text
}

/// Two ends with a router each behind one carrier's box: they only know each other by its outside address.
fn same_carrier() -> String {
    let mut text = "| hairpinning | without TURN | with TURN |\n|---|---|---|\n".to_owned();
    for hairpin in [false, true] {
        write!(text, "| {} |", if hairpin { "yes" } else { "no" }).unwrap();
        for turn in [false, true] {
            let home = |site| Home { hairpin, ..Home::behind(Access::SharedCarrier, site) };
            let mut plan = Plan::between(home(1), home(2));
            plan.turn = turn;
            let cell = cell(&plan);
            assert_eq!(cell.path.is_some() && cell.direct, hairpin, "hairpin {hairpin}: {:?}", cell.path);
            assert_eq!(cell.path.is_some(), hairpin || turn);
            match cell.path {
                Some(path) => write!(text, " {path}, {} ms |", cell.milliseconds).unwrap(),
                None => write!(text, " none |").unwrap(),
            }
        }
        writeln!(text).unwrap();
    }
    text
}

#[test]
fn nat_every_cell_connects_that_theory_says_can() {
    let mut text = String::from(
        "# Which path two ends take, and how long it takes\n\n\
         Written by `ice/tests/nat_cells.rs`: two agents in the virtual network, trickling candidates over signalling that takes 100 ms one way for\n\
         the offer and 200 ms for the answer, 10 ms across the Internet. A's candidate, B's candidate, virtual time from the offer until both ends\n\
         have their pair. Every cell carries media both ways. The test checks every cell against what mapping and filtering allow.\n\n\
         EIM, ADM, APDM: endpoint-independent, address-dependent, address-and-port-dependent mapping; EIF, ADF, APDF: the same of filtering (RFC 4787).\n\
         MAP-E: 240 ports in 15 blocks. Double NAT: two EIM/APDF boxes. No UDP: a firewall that lets TCP out.\n\n",
    );
    let bad = |plan: &mut Plan| plan.link = denwa_sim::Link::bad(0.3);
    write!(text, "## With a STUN server\n\n{}\n", table(false, |_| {})).unwrap();
    let title = "With a TURN server as well (over TCP where an end has no UDP)";
    write!(text, "## {title}\n\n{}\n", table(true, |_| {})).unwrap();
    let title = "Without trickling: candidates go with the descriptions, when all are gathered";
    write!(text, "## {title}\n\n{}\n", table(false, |plan| plan.trickle = false)).unwrap();
    let title = "The same with TURN";
    write!(text, "## {title}\n\n{}\n", table(true, |plan| plan.trickle = false)).unwrap();
    let title = "With TURN, 30 % of packets lost, 20 to 50 ms across the Internet, some out of order and some doubled";
    write!(text, "## {title}\n\n{}\n", table(true, bad)).unwrap();
    write!(text, "## With a lite peer on a public address\n\n{}\n", lite_table()).unwrap();
    let title = "Dual stack: IPv4 behind APDM/APDF boxes, IPv6 behind firewalls that let only answers in, a TURN server";
    write!(text, "## {title}\n\n{}\n", dual_stack_table()).unwrap();
    write!(text, "## Behind the same box\n\n{}\n", same_site()).unwrap();
    let title = "A router each, behind the same carrier's box (EIM/EIF)";
    write!(text, "## {title}\n\n{}", same_carrier()).unwrap();
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/nat-cells.md");
    if std::env::var_os("DENWA_WRITE_DOCS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(text == written, "docs/nat-cells.md is out of date: run with DENWA_WRITE_DOCS=1\n{text}");
}
