//! What an operator reads after a start: what to type into a telephone, and what can be dialled.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::check::counted;
use crate::config::{Config, Protocol, Secret};
use crate::policy::directory::Directory;
use crate::store::StoredBinding;

/// What the text is made of.
pub(super) struct Facts<'a> {
    pub(super) config: &'a Config,
    pub(super) directory: &'a Directory,
    /// Extensions that were made by this start, with their passwords.
    pub(super) made: &'a [(String, Secret)],
    pub(super) registrations: &'a [StoredBinding],
    /// Addresses of this machine that telephones can use, best first.
    pub(super) addresses: &'a [IpAddr],
}

/// The text, lines of at most some 90 columns.
pub(super) fn text(facts: &Facts<'_>) -> String {
    let mut text = format!("Denwa PBX {}\n\n", env!("CARGO_PKG_VERSION"));
    // Writing to a String does not fail.
    let _ = telephones(facts, &mut text).and_then(|()| numbers(facts, &mut text));
    text
}

fn telephones(facts: &Facts<'_>, text: &mut String) -> std::fmt::Result {
    let servers = servers(facts);
    let server = servers.first().map_or("the address of this machine", String::as_str);
    if facts.made.is_empty() {
        let phones = facts.registrations.len();
        writeln!(
            text,
            "{} and {} are in {}.",
            counted(facts.directory.len(), "extension"),
            counted(phones, "registration"),
            facts.config.store.url
        )?;
        writeln!(
            text,
            "\nA telephone registers with\n    server    {server}   ({})",
            transports(facts.config)
        )?;
        writeln!(text, "    user      its extension's number")?;
        writeln!(
            text,
            "    password  the one shown when it was made; `pbx extensions password NUMBER` makes a new one"
        )?;
    } else {
        writeln!(
            text,
            "This is the first start: {} was made, with these extensions.",
            facts.config.store.url
        )?;
        writeln!(
            text,
            "\nType into a telephone:\n    server    {server}   ({})\n",
            transports(facts.config)
        )?;
        writeln!(text, "    user      password")?;
        for (number, password) in facts.made {
            writeln!(text, "    {number:<8}  {}", password.reveal())?;
        }
        writeln!(
            text,
            "\nThe passwords are not kept and not shown again; `pbx extensions password NUMBER` makes a new one."
        )?;
    }
    if servers.len() > 1 {
        writeln!(text, "This machine is also {}.", servers.get(1..).unwrap_or_default().join(" and "))?;
    }
    Ok(())
}

fn numbers(facts: &Facts<'_>, text: &mut String) -> std::fmt::Result {
    writeln!(text, "\nDial:")?;
    let numbers: Vec<&str> = facts.directory.iter().map(|account| account.number.as_str()).collect();
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) if numbers.len() > 8 => {
            writeln!(text, "    {first} … {last}  the {} extensions", numbers.len())?;
        }
        (Some(_), _) => writeln!(text, "    {}  another telephone", numbers.join(", "))?,
        _ => writeln!(text, "    no extension yet; `pbx extensions add NUMBER` makes one")?,
    }
    for (service, number) in facts.config.services.listed() {
        writeln!(text, "    {number:<8}  {service}: {}", service.purpose())?;
    }
    for route in &facts.config.routes {
        writeln!(
            text,
            "    {:<8}  and a number: out by the trunk {}",
            format!("{}…", route.prefix),
            route.trunk
        )?;
    }
    writeln!(text, "\nCtrl-C ends it.\n")
}

/// The addresses to type, with the port when it is not the usual one.
fn servers(facts: &Facts<'_>) -> Vec<String> {
    let mut servers = Vec::new();
    for listen in &facts.config.sip.listen {
        let addresses = if listen.address.ip().is_unspecified() {
            facts.addresses.iter().copied().filter(|ip| ip.is_ipv4() == listen.address.is_ipv4()).collect()
        } else {
            vec![listen.address.ip()]
        };
        for address in addresses {
            let host = match address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            };
            let port = listen.address.port();
            let server = if port == crate::config::SIP_PORT { host } else { format!("{host}:{port}") };
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
    }
    servers
}

fn transports(config: &Config) -> &'static str {
    let on = |protocol| config.sip.listen.iter().any(|listen| listen.protocol == protocol);
    match (on(Protocol::Udp), on(Protocol::Tcp)) {
        (true, false) => "UDP",
        (false, true) => "TCP",
        _ => "UDP or TCP",
    }
}
