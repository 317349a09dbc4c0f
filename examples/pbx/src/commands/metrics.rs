//! Figures for whoever watches over the exchange, in the text form of Prometheus: `/metrics`, where the file says.

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::control::{Answer, Desk, Switchboard};
use crate::exchange::{Attacks, Question, Report, Status, TrunkState};
use crate::http::{Page, serve};

/// How long the exchange may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A figure of a neighbour.
type State = fn(&TrunkState) -> Option<usize>;

/// Serves the figures from now on.
pub(super) fn start(
    address: SocketAddr,
    desk: Arc<dyn Desk>,
    switchboard: Arc<Switchboard>,
) -> Result<(), String> {
    let ask = move |question: Question| {
        let (ticket, answers) = switchboard.ticket();
        desk.ask(ticket, question);
        let answer = answers.recv_timeout(PATIENCE);
        switchboard.give_back(ticket);
        match answer {
            Ok(Answer::Report(report)) => Some(*report),
            _ => None,
        }
    };
    let page = move |path: &str| {
        if path != "/metrics" {
            return None;
        }
        let Some(Report::Status(status)) = ask(Question::Status) else { return None };
        let Some(Report::Attacks(attacks)) = ask(Question::Attacks) else { return None };
        Some(Page { content_type: "text/plain; version=0.0.4", body: text(&status, &attacks) })
    };
    serve(address, "metrics", page).map_err(|error| format!("cannot serve metrics at {address}: {error}"))
}

/// One figure after the other, each with what it is.
fn text(status: &Status, attacks: &Attacks) -> String {
    let mut text = String::new();
    let mut figure = |name: &str, kind: &str, help: &str, value: &dyn Display| {
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "# HELP denwa_{name} {help}\n# TYPE denwa_{name} {kind}\ndenwa_{name} {value}");
    };
    figure("up_seconds", "gauge", "Seconds since the exchange was started.", &status.up_seconds);
    figure("calls", "gauge", "Calls going on.", &status.calls);
    figure("calls_total", "counter", "Calls since the start.", &status.calls_ever);
    figure("extensions", "gauge", "Extensions there are.", &status.extensions);
    figure("registrations", "gauge", "Telephones and neighbours registered.", &status.registrations);
    figure("media_ports", "gauge", "Ports in use for voice.", &status.media_ports);
    figure("dialogs", "gauge", "Dialogs held.", &status.dialogs);
    figure("transactions", "gauge", "Transactions held.", &status.transactions);
    figure(
        "unusable_messages_total",
        "counter",
        "Messages that could not be used.",
        &status.unusable_messages,
    );
    figure("bans", "gauge", "Bans in force.", &status.bans);
    figure("strangers_total", "counter", "Packets read of strangers.", &attacks.strangers);
    figure("refused_packets_total", "counter", "Packets dropped unread.", &attacks.refused);
    figure("offences_total", "counter", "Offences noticed.", &attacks.offences);
    let states: [(&str, &str, State); 3] = [
        ("trunk_answers", "Whether the neighbour answers OPTIONS.", |trunk| trunk.answers.map(usize::from)),
        ("trunk_registered", "Whether the neighbour has taken our registration.", |trunk| {
            trunk.registered.map(usize::from)
        }),
        ("trunk_calls", "Calls with the neighbour.", |trunk| Some(trunk.calls)),
    ];
    for (name, help, state) in states {
        let _ = writeln!(text, "# HELP denwa_{name} {help}\n# TYPE denwa_{name} gauge");
        for trunk in &status.trunks {
            // Names of trunks are letters, digits and . _ - only.
            if let Some(value) = state(trunk) {
                let _ = writeln!(text, "denwa_{name}{{trunk=\"{}\"}} {value}", trunk.trunk);
            }
        }
    }
    text
}
