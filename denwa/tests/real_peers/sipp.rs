//! SIPp's built-in scenarios, in both roles, over UDP and TCP.

use crate::agent::{Agent, PATIENCE};
use crate::authority::Authority;
use denwa::ua::Event;
use denwa_interop::{Ports, Scratch, require, sipp};
use denwa_sip_core::Protocol;

const TRANSPORTS: [(Protocol, &str, &str); 2] = [(Protocol::Udp, "u1", "udp"), (Protocol::Tcp, "t1", "tcp")];

/// It calls, rings, hears an answer, and hangs up, two hundred times.
#[test]
fn its_caller_calls_us() {
    if !require("sipp") {
        return;
    }
    let scratch = Scratch::new("sipp-calls");
    let mut ports = Ports::block();
    for (protocol, transport, name) in TRANSPORTS {
        let agent = Agent::start(&Authority::new());
        let options = sipp::Options {
            name,
            scenario: "uac",
            target: Some(&agent.address(protocol).to_string()),
            port: ports.take(1),
            media_port: ports.take(4),
            arguments: &["-t", transport, "-r", "50", "-m", "200", "-d", "100", "-s", "200"],
        };
        let mut caller = sipp::Sipp::start_built_in(&options, scratch.path());
        let mut ended = 0;
        agent.until(|event| {
            if let Event::Ended { reason, .. } = event {
                assert_eq!(reason.to_string(), "the other side hung up");
                ended += 1;
            }
            ended == 200
        });
        assert!(caller.finish(PATIENCE), "{name}: {}", caller.peer.log());
        assert_eq!(caller.figure("SuccessfulCall(C)").as_deref(), Some("200"));
        agent.stop();
    }
}

/// It answers, two hundred times.
#[test]
fn we_call_its_answerer() {
    if !require("sipp") {
        return;
    }
    let scratch = Scratch::new("sipp-answers");
    let mut ports = Ports::block();
    for (_, transport, name) in TRANSPORTS {
        let port = ports.take(1);
        let options = sipp::Options {
            name,
            scenario: "uas",
            target: None,
            port,
            media_port: ports.take(4),
            arguments: &["-t", transport, "-m", "200"],
        };
        let mut answerer = sipp::Sipp::start_built_in(&options, scratch.path());
        answerer.wait_until_it_listens(transport);
        let agent = Agent::start(&Authority::new());
        let account = agent.account("a", "127.0.0.1", None);
        for batch in 0..20 {
            let _ = batch;
            let calls: Vec<_> = (0..10)
                .map(|_| agent.call(account, format!("sip:service@127.0.0.1:{port};transport={name}")))
                .collect();
            let mut answered = 0;
            agent.until(|event| {
                assert!(!matches!(event, Event::Ended { .. }), "{event:?}");
                answered += usize::from(matches!(event, Event::Answered { .. }));
                answered == calls.len()
            });
            for call in &calls {
                agent.hang_up(*call);
            }
            let mut ended = 0;
            agent.until(|event| {
                ended += usize::from(matches!(event, Event::Ended { .. }));
                ended == calls.len()
            });
        }
        agent.stop();
        assert!(answerer.finish(PATIENCE), "{name}: {}", answerer.peer.log());
        assert_eq!(answerer.figure("SuccessfulCall(C)").as_deref(), Some("200"));
    }
}
