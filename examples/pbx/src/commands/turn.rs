//! The STUN and TURN server of a running exchange.

use denwa::tokio::{Tls, TurnServer, TurnServerConfig};
use denwa_ice::turn::server::{CredentialSource, ServerEvent, Users};

use crate::config::{Config, External, Host, Turn, TurnUsers};
use crate::exchange::Relaying;

/// Starts it when the file asks for one.
pub(super) fn start(config: &Config, tls: Option<&Tls>) -> Result<Option<TurnServer>, String> {
    let Some(turn) = &config.turn else { return Ok(None) };
    let mut server = TurnServerConfig::new(credentials(turn));
    server.listen.clone_from(&turn.listen);
    server.realm.clone_from(&config.sip.realm);
    server.ports.clone_from(&turn.ports);
    server.own_ports.clone_from(&config.media.ports);
    server.peers.clone_from(&turn.peers);
    server.external = turn.external.or(external(config)).into_iter().collect();
    let limits = &mut server.limits;
    limits.allocations = turn.allocations.unwrap_or(limits.allocations);
    limits.per_user = turn.per_user.unwrap_or(limits.per_user);
    limits.per_address = turn.per_address.unwrap_or(limits.per_address);
    server.tls = tls.cloned();
    let server = TurnServer::start(server, log).map_err(|error| format!("[turn] {error}"))?;
    for listening in server.listening() {
        tracing::info!("STUN and TURN on {listening}");
    }
    for relay in server.relays() {
        tracing::info!("relaying on {}, told as {}, ports {}", relay.local, relay.external, turn.ports);
    }
    if turn.users == TurnUsers::Nobody {
        tracing::warn!("[turn] has neither `secret` nor `users`: nobody may have data relayed");
    }
    Ok(Some(server))
}

/// Who may allocate by the file.
pub(super) fn credentials(turn: &Turn) -> CredentialSource {
    match &turn.users {
        TurnUsers::Nobody => CredentialSource::Nobody,
        TurnUsers::Secret(secret) => CredentialSource::shared_secret(secret.reveal()),
        TurnUsers::Named(named) => {
            let named = named.iter().map(|(name, password)| (name.as_str(), password.reveal()));
            CredentialSource::Users(Users::from_iter(named))
        }
    }
}

/// How it is, for `pbx status`.
pub(super) fn report(server: &TurnServer) -> Relaying {
    let status = server.status();
    Relaying {
        listening: server.listening().iter().map(ToString::to_string).collect(),
        allocations: status.allocations,
        connections: status.connections,
        relayed_packets: status.relayed_packets,
        relayed_bytes: status.relayed_bytes,
        failed_authentications: status.failed_authentications,
    }
}

fn external(config: &Config) -> Option<std::net::IpAddr> {
    match &config.network.external {
        External::Host(Host::Address(address)) => Some(*address),
        _ => None,
    }
}

fn log(event: ServerEvent) {
    match event {
        ServerEvent::AllocationMade { .. } | ServerEvent::AllocationEnded { .. } => {
            tracing::info!("TURN: {event}");
        }
        event => tracing::warn!("TURN: {event}"),
    }
}
