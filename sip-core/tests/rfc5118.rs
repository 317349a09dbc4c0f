//! The messages of RFC 5118, one test each, named as there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod shared;
#[path = "common/torture.rs"]
mod torture;

use bytes::Bytes;
use denwa_sip_core::{Message, message::Host};
use torture::{invalid, strictly, understood, valid};

macro_rules! messages {
    ($($test:ident = $file:literal => $check:expr;)*) => {
        $(
            #[test]
            fn $test() {
                let Some(folder) = shared::folder("vectors/rfc5118-sip-ipv6") else { return };
                let fixed = folder.join("messages-fixed-length").join($file);
                let file = if fixed.exists() { fixed } else { folder.join("messages").join($file) };
                let check: fn(&Bytes) = $check;
                check(&Bytes::from(std::fs::read(file).unwrap()));
            }
        )*
    };
}

fn v6(text: &str) -> Host<'_> {
    Host::V6(text.parse().unwrap())
}

fn request(message: Message) -> denwa_sip_core::Request {
    let Message::Request(request) = message else { panic!("a response") };
    request
}

messages! {
    ipv6_good = "ipv6-good.dat" => |bytes| {
        let request = request(valid(bytes));
        assert_eq!(request.uri().unwrap().host(), Some(v6("2001:db8::10")));
        assert_eq!(request.via().unwrap().host, v6("2001:db8::9:1"));
        assert_eq!(request.contact().unwrap().unwrap().uri.host(), Some(v6("2001:db8::1")));
    };
    ipv6_bad = "ipv6-bad.dat" => |bytes| {
        invalid(bytes, 400);
        let request = request(understood(bytes));
        assert_eq!(request.uri().unwrap().host(), Some(v6("2001:db8::10")));
    };
    port_ambiguous = "port-ambiguous.dat" => |bytes| {
        let request = request(valid(bytes));
        let uri = request.uri().unwrap();
        assert_eq!((uri.host(), uri.port()), (Some(v6("2001:db8::10:5070")), None));
    };
    port_unambiguous = "port-unambiguous.dat" => |bytes| {
        let request = request(valid(bytes));
        let uri = request.uri().unwrap();
        assert_eq!((uri.host(), uri.port()), (Some(v6("2001:db8::10")), Some(5070)));
    };
    via_received_param_with_delim = "via-received-param-with-delim.dat" => |bytes| {
        let message = valid(bytes);
        assert_eq!(message.via().unwrap().received(), "2001:db8::9:255".parse().ok());
    };
    via_received_param_no_delim = "via-received-param-no-delim.dat" => |bytes| {
        let message = valid(bytes);
        assert_eq!(message.via().unwrap().received(), "2001:db8::9:255".parse().ok());
    };
    ipv6_in_sdp = "ipv6-in-sdp.dat" => |bytes| {
        assert!(valid(bytes).body().windows(13).any(|window| window == b"IN IP6 2001:d"));
    };
    mult_ip_in_header = "mult-ip-in-header.dat" => |bytes| {
        let message = valid(bytes);
        let families: Vec<_> = message.vias().map(|via| via.unwrap().host.address().map(|ip| ip.is_ipv6())).collect();
        assert!(families.contains(&Some(true)) && families.contains(&Some(false)));
    };
    mult_ip_in_sdp = "mult-ip-in-sdp.dat" => |bytes| drop(valid(bytes));
    ipv4_mapped_ipv6 = "ipv4-mapped-ipv6.dat" => |bytes| {
        let message = valid(bytes);
        assert!(matches!(message.contact().unwrap().unwrap().uri.host(), Some(Host::V6(address)) if address.to_ipv4_mapped().is_some()));
    };
    ipv6_bug_abnf_3_colons = "ipv6-bug-abnf-3-colons.dat" => |bytes| {
        // Three colons are what the old grammar allowed by mistake; RFC 5954 corrects it.
        assert!(strictly(bytes).is_err());
        understood(bytes);
    };
    ipv6_correct_abnf_2_colons = "ipv6-correct-abnf-2-colons.dat" => |bytes| drop(valid(bytes));
}
