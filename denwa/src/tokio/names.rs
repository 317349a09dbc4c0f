//! Names to records, by hickory-resolver: the system's own servers, search list and hosts file, or the servers one names.
//!
//! What the DNS does not know may still be known to the system (a printer on the link, a directory): addresses are asked
//! for there too, unless servers were named.

use denwa_sip_core::io::{Answer, NaptrRecord, Question, SrvRecord};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

/// Whom to ask for names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsConfig {
    /// The servers to ask, over UDP and for long answers over TCP. Empty, as by default: those of the system, its search list
    /// and its hosts file.
    pub servers: Vec<SocketAddr>,
    /// How long to wait for a server. Default 2 s.
    pub timeout: Duration,
    /// How often a server is asked again. Default 2.
    pub attempts: usize,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::from_secs(2), attempts: 2 }
    }
}

/// Asks for names. Lives on the driver's thread; what it hands out to ask with is independent of it.
pub(super) struct Names {
    config: DnsConfig,
    resolver: Option<TokioResolver>,
    /// When the system's configuration was last looked at, and how old it was.
    looked: Option<(Instant, Option<SystemTime>)>,
}

/// One question's way to the answer.
#[derive(Clone)]
pub(super) struct Asker {
    resolver: Option<TokioResolver>,
    and_system: bool,
}

/// The system's servers change when a laptop moves; how often that is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long an answer of the system's own lookup may be used: it does not tell, and keeps its own cache.
const SYSTEM_TIME_TO_LIVE: Duration = Duration::from_secs(60);

impl Names {
    pub(super) fn new(config: DnsConfig) -> Self {
        Self { config, resolver: None, looked: None }
    }

    /// What to ask with now.
    pub(super) fn asker(&mut self) -> Asker {
        let and_system = self.config.servers.is_empty();
        if and_system {
            self.follow_system();
        } else if self.resolver.is_none() {
            self.resolver = of_servers(&self.config);
        }
        Asker { resolver: self.resolver.clone(), and_system }
    }

    fn follow_system(&mut self) {
        let now = Instant::now();
        let before = self.looked;
        if before.is_some_and(|(at, _)| now.saturating_duration_since(at) < LOOK_EVERY) {
            return;
        }
        let changed = std::fs::metadata("/etc/resolv.conf").and_then(|data| data.modified()).ok();
        self.looked = Some((now, changed));
        if before.is_none_or(|(_, before)| before != changed) {
            self.resolver = of_system(&self.config);
        }
    }
}

fn of_system(config: &DnsConfig) -> Option<TokioResolver> {
    let mut builder = TokioResolver::builder_tokio().ok()?;
    builder.options_mut().timeout = config.timeout;
    builder.options_mut().attempts = config.attempts;
    builder.build().ok()
}

fn of_servers(config: &DnsConfig) -> Option<TokioResolver> {
    let server = |address: &SocketAddr| {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        let at_port = |mut connection: ConnectionConfig| {
            connection.port = address.port();
            connection
        };
        server.connections = server.connections.into_iter().map(at_port).collect();
        server
    };
    let servers = config.servers.iter().map(server).collect();
    let known = ResolverConfig::from_name_servers(servers);
    let mut builder = TokioResolver::builder_with_config(known, TokioRuntimeProvider::default());
    builder.options_mut().timeout = config.timeout;
    builder.options_mut().attempts = config.attempts;
    builder.build().ok()
}

impl Asker {
    pub(super) async fn resolve(self, question: Question) -> Answer {
        match question {
            Question::Naptr(name) => self.naptr(&name).await,
            Question::Srv(name) => self.srv(&name).await,
            Question::Addresses(name) => self.addresses(&name).await,
        }
    }

    async fn naptr(&self, name: &str) -> Answer {
        let Some(resolver) = &self.resolver else { return Answer::NotFound };
        match resolver.lookup(absolute(name), RecordType::NAPTR).await {
            Ok(found) => Answer::Naptr(found.answers().iter().filter_map(naptr).collect()),
            Err(error) if error.is_no_records_found() => Answer::NotFound,
            Err(_) => Answer::Failed,
        }
    }

    async fn srv(&self, name: &str) -> Answer {
        let Some(resolver) = &self.resolver else { return Answer::NotFound };
        match resolver.lookup(absolute(name), RecordType::SRV).await {
            Ok(found) => Answer::Srv(found.answers().iter().filter_map(srv).collect()),
            Err(error) if error.is_no_records_found() => Answer::NotFound,
            Err(_) => Answer::Failed,
        }
    }

    async fn addresses(&self, name: &str) -> Answer {
        let mut answer = Answer::NotFound;
        if let Some(resolver) = &self.resolver {
            match resolver.lookup_ip(name).await {
                Ok(found) => {
                    let addresses: Vec<IpAddr> = found.iter().collect();
                    let time_to_live = found.valid_until().saturating_duration_since(Instant::now());
                    if !addresses.is_empty() {
                        return Answer::Addresses { addresses, time_to_live };
                    }
                }
                Err(error) if error.is_no_records_found() => {}
                Err(_) => answer = Answer::Failed,
            }
        }
        if self.and_system
            && let Ok(addresses) = of_host(name).await
            && !addresses.is_empty()
        {
            return Answer::Addresses { addresses, time_to_live: SYSTEM_TIME_TO_LIVE };
        }
        answer
    }

    /// The addresses of a host, each once; empty when there are none, or nobody answered.
    pub(super) async fn addresses_of(self, name: &str) -> Vec<IpAddr> {
        match self.addresses(name).await {
            Answer::Addresses { addresses, .. } => addresses,
            _ => Vec::new(),
        }
    }
}

/// A domain is written whole: the search list is for hosts that people name.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn naptr(record: &Record) -> Option<NaptrRecord> {
    let RData::NAPTR(data) = &record.data else { return None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(NaptrRecord {
        order: data.order,
        preference: data.preference,
        flags: text(&data.flags),
        service: text(&data.services),
        regexp: text(&data.regexp),
        replacement: data.replacement.to_ascii(),
        time_to_live: Duration::from_secs(record.ttl.into()),
    })
}

fn srv(record: &Record) -> Option<SrvRecord> {
    let RData::SRV(data) = &record.data else { return None };
    Some(SrvRecord {
        priority: data.priority,
        weight: data.weight,
        port: data.port,
        target: data.target.to_ascii(),
        time_to_live: Duration::from_secs(record.ttl.into()),
    })
}

/// The addresses of a host, as the system orders them, each once.
async fn of_host(name: &str) -> std::io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in tokio::net::lookup_host((name, 0)).await? {
        if !found.contains(&address.ip()) {
            found.push(address.ip());
        }
    }
    Ok(found)
}
