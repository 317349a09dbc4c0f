//! Names to addresses, by the system's own resolver (hosts file, search list and all).
//!
//! The system's interface knows addresses only: questions for NAPTR and SRV records are answered with "none".

use denwa_sip_core::io::{Answer, Question};
use std::net::IpAddr;
use std::time::Duration;

/// How long an answer may be used: the system does not tell, and keeps its own cache.
const TIME_TO_LIVE: Duration = Duration::from_secs(60);

pub(super) async fn resolve(question: Question) -> Answer {
    match question {
        Question::Naptr(_) | Question::Srv(_) => Answer::NotFound,
        Question::Addresses(name) => match addresses(&name).await {
            Ok(addresses) if addresses.is_empty() => Answer::NotFound,
            Ok(addresses) => Answer::Addresses { addresses, time_to_live: TIME_TO_LIVE },
            // The system does not distinguish a name that does not exist from a server that does not answer.
            Err(_) => Answer::NotFound,
        },
    }
}

/// The addresses of a host, as the system orders them, each once.
pub(super) async fn addresses(name: &str) -> std::io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in tokio::net::lookup_host((name, 0)).await? {
        if !found.contains(&address.ip()) {
            found.push(address.ip());
        }
    }
    Ok(found)
}
