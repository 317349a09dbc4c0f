//! Which NAPTR and SRV records to follow, and in which order (RFC 3263 §4.1, RFC 2782, RFC 7118 §5.2).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use crate::{
    io::{NaptrRecord, Protocol, SrvRecord},
    random::Random,
    transport::Listeners,
};

/// The transports that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Supported {
    bits: u8,
}

impl Supported {
    pub(crate) fn of(listeners: &Listeners) -> Self {
        let mut bits = 0;
        for protocol in Protocol::ALL {
            if listeners.can_reach(protocol, None) {
                bits |= bit(protocol);
            }
        }
        Self { bits }
    }

    pub(crate) const fn has(self, protocol: Protocol) -> bool {
        self.bits & bit(protocol) != 0
    }

    /// The default if it can be used, else the one that comes closest to it.
    pub(crate) fn or_default(self, default: Protocol) -> Protocol {
        if self.has(default) {
            return default;
        }
        self.in_order_of_preference(default.is_secure()).into_iter().next().unwrap_or(default)
    }

    /// In which order SRV is asked for when the DNS has no preference: datagrams before streams, as RFC 3263's default.
    pub(crate) fn in_order_of_preference(self, is_sips: bool) -> Vec<Protocol> {
        let order: &[Protocol] = if is_sips {
            &[Protocol::Tls, Protocol::Wss]
        } else {
            &[Protocol::Udp, Protocol::Tcp, Protocol::Tls, Protocol::Ws, Protocol::Wss]
        };
        order.iter().copied().filter(|protocol| self.has(*protocol)).collect()
    }
}

const fn bit(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Udp => 1,
        Protocol::Tcp => 2,
        Protocol::Tls => 4,
        Protocol::Ws => 8,
        Protocol::Wss => 16,
    }
}

/// The SRV name of a transport.
pub(crate) fn service_name(protocol: Protocol, host: &str, is_sips: bool) -> Arc<str> {
    let prefix = match protocol {
        Protocol::Udp => "_sip._udp",
        Protocol::Tcp if is_sips => "_sips._tcp",
        Protocol::Tcp => "_sip._tcp",
        Protocol::Tls => "_sips._tcp",
        Protocol::Ws => "_sip._ws",
        Protocol::Wss => "_sips._ws",
    };
    format!("{prefix}.{host}").into()
}

fn protocol_of_service(service: &str) -> Option<Protocol> {
    [
        ("SIP+D2U", Protocol::Udp),
        ("SIP+D2T", Protocol::Tcp),
        ("SIPS+D2T", Protocol::Tls),
        ("SIP+D2W", Protocol::Ws),
        ("SIPS+D2W", Protocol::Wss),
    ]
    .into_iter()
    .find(|(name, _)| name.eq_ignore_ascii_case(service))
    .map(|(_, protocol)| protocol)
}

/// The services that can be used, the most wanted first, with the SRV name of each.
pub(crate) fn naptr_choices(
    mut records: Vec<NaptrRecord>,
    supported: Supported,
    is_sips: bool,
) -> Vec<(Protocol, Arc<str>)> {
    records.sort_by_key(|record| (record.order, record.preference));
    let mut choices: Vec<(Protocol, Arc<str>)> = Vec::new();
    for record in records {
        let Some(protocol) = protocol_of_service(&record.service) else { continue };
        let usable = record.flags.eq_ignore_ascii_case("s")
            && record.regexp.is_empty()
            && supported.has(protocol)
            && (!is_sips || protocol.is_secure());
        let replacement = record.replacement.trim_end_matches('.');
        if usable && !replacement.is_empty() && choices.len() < 8 {
            choices.push((protocol, replacement.to_ascii_lowercase().into()));
        }
    }
    choices
}

/// Targets and ports by priority and, among equals, drawn by weight (RFC 2782).
pub(crate) fn order_srv(
    mut records: Vec<SrvRecord>,
    random: &mut Random,
) -> impl Iterator<Item = (String, u16)> {
    // A single target "." says that the service is not offered.
    records.retain(|record| record.target != "." && !record.target.is_empty());
    // Weight 0 first among equals, so that it has its small chance.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let total: u32 = records
            .iter()
            .take_while(|record| record.priority == priority)
            .map(|r| u32::from(r.weight))
            .sum();
        let draw = random.below(total.saturating_add(1));
        let mut sum = 0_u32;
        let chosen = records.iter().take_while(|record| record.priority == priority).position(|record| {
            sum = sum.saturating_add(u32::from(record.weight));
            sum >= draw
        });
        ordered.push(records.remove(chosen.unwrap_or(0)));
    }
    ordered.into_iter().map(|record| (record.target.trim_end_matches('.').to_ascii_lowercase(), record.port))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::io::Seed;

    fn record(priority: u16, weight: u16, target: &str) -> SrvRecord {
        SrvRecord {
            priority,
            weight,
            port: 5060,
            target: target.into(),
            time_to_live: Duration::from_secs(60),
        }
    }

    #[test]
    fn weights_share_the_load() {
        let mut random = Random::new(Seed([7; 32]));
        let mut first = [0_u32; 2];
        for _ in 0..10_000 {
            let order: Vec<_> = order_srv(
                vec![record(1, 75, "a."), record(1, 25, "B"), record(0, 0, "first"), record(9, 0, ".")],
                &mut random,
            )
            .collect();
            assert_eq!(order.len(), 3);
            assert_eq!(order[0].0, "first");
            first[usize::from(order[1].0 == "b")] += 1;
        }
        assert!((7_200..7_800).contains(&first[0]), "{first:?}");
    }

    #[test]
    fn services_that_cannot_be_used_are_left_out() {
        let naptr = |order, service: &str| NaptrRecord {
            order,
            preference: 0,
            flags: "s".into(),
            service: service.into(),
            regexp: String::new(),
            replacement: format!("_x.{service}.example."),
            time_to_live: Duration::ZERO,
        };
        let records =
            || vec![naptr(90, "SIP+D2U"), naptr(50, "SIPS+D2T"), naptr(10, "SIP+D2S"), naptr(60, "SIP+D2T")];
        let supported = Supported { bits: bit(Protocol::Udp) | bit(Protocol::Tls) };
        let choices = naptr_choices(records(), supported, false);
        assert_eq!(choices.iter().map(|(p, _)| *p).collect::<Vec<_>>(), [Protocol::Tls, Protocol::Udp]);
        assert_eq!(naptr_choices(records(), supported, true).len(), 1);
    }
}
