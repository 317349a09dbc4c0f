//! Files as people write them, and the mistakes they make.

use super::*;
use denwa_sip_core::Protocol;
use std::time::Duration;

const FILE: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]

[[sides]]
name = "inside"
from = ["192.168.0.0/16"]

[[sides]]
name = "line"
to = "udp:203.0.113.5:5060"
codecs = ["PCMU"]
user = "0312345678"
password = "secret"
register = true

[[routes]]
from = "inside"
to = "line"
prefix = "9"
strip = 1
"#;

fn error(from: &str, to: &str) -> ConfigError {
    assert!(FILE.contains(from), "{from}");
    Config::parse(&FILE.replace(from, to)).unwrap_err()
}

#[test]
fn a_file_as_one_writes_it() {
    let config = Config::parse(FILE).unwrap();
    assert_eq!(config.sides.len(), 2);
    assert_eq!(config.ports.to_string(), "20000-20999");
    assert_eq!(config.routes[0].rewrite("90312"), Some("0312".to_owned()));
    assert_eq!(config.routes[0].rewrite("80312"), None);
    // Who is called may call.
    assert!(config.sides[1].from[0].contains("203.0.113.5".parse().unwrap()));
}

#[test]
fn mistakes_have_a_place() {
    let listen = error("udp:127.0.0.1:5060", "127.0.0.1:5060");
    assert_eq!((listen.line, listen.column), (3, 11), "{listen}");
    let unknown = error("strip = 1", "stripp = 1");
    assert!(unknown.to_string().contains("line 21") && unknown.sentence.contains("stripp"), "{unknown}");
    let side = error("to = \"line\"", "to = \"lime\"");
    assert_eq!(side.sentence, "there is no side called `lime`");
    let codec = error("\"PCMU\"", "\"PCMX\"");
    assert_eq!(codec.sentence, "`PCMX` is not a codec known here");
    assert!(error("strip = 1", "strip = \"x\"").line == 21);
    assert!(error("[sip]", "[sip").line >= 1);
    let place = error("udp:203.0.113.5:5060", "203.0.113");
    assert!(place.sentence.contains("expected udp:192.0.2.1:5060"), "{place}");
    assert_eq!((place.line, place.column), (11, 6));
    let word = error("register = true", "encryption = \"yes\"");
    assert_eq!(word.to_string(), "line 15, column 14: `yes` is none of `off`, `offered`, `required`");
    let secure = error("udp:127.0.0.1:5060", "wss:127.0.0.1:443");
    assert!(secure.sentence.contains("needs [tls]"), "{secure}");
    let timer = error("register = true", "session_timer = 30");
    assert!(timer.sentence.contains("90 and more"), "{timer}");
    let retry = error("register = true", "retry = 61");
    assert!(retry.sentence.contains("0 (no retry) to 60"), "{retry}");
    let mark = error("listen = ", "dscp = 64\nlisten = ");
    assert_eq!(mark.to_string(), "line 3, column 8: 64 is no mark: expected 0 to 63");
    let register = error("user = \"0312345678\"\n", "");
    assert_eq!(register.sentence, "to `register` takes a `to` and a `user`");
}

#[test]
fn peers_are_named_or_addressed() {
    let place =
        |text: &str| match Config::parse(&FILE.replace("udp:203.0.113.5:5060", text)).unwrap().sides[1].place
        {
            Place::Peer(ref target) => target.clone(),
            ref other => panic!("{other:?}"),
        };
    let name = |protocol, host: &str, port| Target::Name { protocol, host: host.to_owned(), port };
    assert_eq!(place("sip.example.com"), name(None, "sip.example.com", None));
    assert_eq!(place("tls:sip.example.com"), name(Some(Protocol::Tls), "sip.example.com", None));
    assert_eq!(place("tcp:pbx:5070"), name(Some(Protocol::Tcp), "pbx", Some(5070)));
    assert_eq!(
        place("udp:[2001:db8::1]"),
        Target::Address(Protocol::Udp, "[2001:db8::1]:5060".parse().unwrap())
    );
}

#[test]
fn a_map_e_router_passes_its_own_ports_and_no_others() {
    let map_e = "[media]\nmap_e = { psid = 52, psid_len = 8, offset = 4 }\n";
    let parse =
        |listen: &str| Config::parse(&format!("{map_e}{}", FILE.replace("udp:127.0.0.1:5060", listen)));
    let error = parse("udp:127.0.0.1:5060").unwrap_err();
    assert_eq!((error.line, error.column), (5, 11));
    assert!(
        error.sentence.starts_with("port 5060 is not one of the 240 that map_e passes; 4928 is"),
        "{error}"
    );
    let config = parse("udp:127.0.0.1:0").unwrap();
    assert_eq!(config.listen[0].address.port(), 4928);
    // Signalling and media do not share one, and no pair is broken by more than that.
    assert_eq!((config.ports.len(), config.ports.pairs()), (239, 119));
    assert!(config.ports.iter().all(|port| (port >> 4) & 0xff == 52));
    let wrong =
        Config::parse(&format!("[media]\nmap_e = {{ psid = 300, psid_len = 8, offset = 4 }}\n{FILE}"));
    assert_eq!(wrong.unwrap_err().line, 2);
}

#[test]
fn browsers_and_robots() {
    let text = r#"
[sip]
listen = ["ws:127.0.0.1:8088"]
[web]
listen = "127.0.0.1:8080"
[[sides]]
name = "web"
kind = "webrtc"
call = "200"
users = { alice = "secret" }
[[sides]]
name = "robots"
kind = "pcm"
to = "ws://127.0.0.1:9000/call"
sample_rate = 8000
[[routes]]
from = "web"
to = "robots"
"#;
    let config = Config::parse(text).unwrap();
    let web = config.side("web").unwrap();
    assert_eq!((web.encryption, web.ice, web.rtcp_mux), (Encryption::Required, IceMode::Full, true));
    assert_eq!((web.place.clone(), web.keys.clone()), (Place::Users, vec![KeyExchange::Dtls]));
    assert_eq!(config.side("robots").unwrap().robot().unwrap().sample_rate_hz, 8000);
    let error = |from: &str, to: &str| Config::parse(&text.replace(from, to)).unwrap_err().to_string();
    assert!(error("8000\n", "8001\n").contains("none of 8000"));
    assert!(error("ws://", "http://").contains("expected ws://"));
    assert!(error("\"secret\"", "\"\"").contains("`alice` has no password"));
    assert!(error("127.0.0.1:8080", "8080").contains("line 5, column 10: `8080`"));
}

#[test]
fn the_file_that_comes_with_it_is_right() {
    let text = include_str!("../../gateway.toml");
    let config = Config::parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.sides.len(), 4);
    assert_eq!(config.side("line").unwrap().called.apply("+81312345678"), "0312345678");
    // An example that does not come true is a mistake of the file.
    let error = Config::parse(&text.replace("\"telephone\"]]", "\"phone\"]]")).unwrap_err();
    assert!(error.sentence.contains("becomes \"telephone\", not \"phone\""), "{error}");
    assert!(text.lines().nth(error.line - 1).unwrap().starts_with("examples = "), "{error}");
    let error = Config::parse(&text.replace("=0312345678\"]", "=0312345679\"]")).unwrap_err();
    assert!(text.lines().nth(error.line - 1).unwrap().starts_with("called_examples"), "{error}");
}

/// What is commented out there of Hikari Denwa, with its rule.
#[test]
fn the_line_of_hikari_denwa_in_it_is_right_too() {
    let text = include_str!("../../gateway.toml");
    let (before, rest) = text.split_once("# ---- NTT Hikari Denwa").unwrap();
    let (lines, after) = rest.split_once("# ---- a voice robot").unwrap();
    let lines: String =
        lines.lines().skip(1).map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
    let config = Config::parse(&format!("{before}{lines}{after}")).unwrap_or_else(|error| panic!("{error}"));
    let side = config.side("hikari").unwrap();
    assert_eq!((side.retry, side.calls, side.number_in_to), (Some(Duration::from_secs(8)), Some(2), false));
    assert!(side.request_by_address && side.own_address && side.rings_at_once);
    assert_eq!(config.side("line").unwrap().retry, None);
}
