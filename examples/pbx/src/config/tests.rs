//! The file as the handbook prints it, and each mistake with its place.

use super::*;
use crate::services::Service;

const WHOLE: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]
realm  = "pbx.example"

[network]
external = "auto"
local    = ["192.168.0.0/16", "10.0.0.0/8", "fd00::/8"]
stun     = ""

[media]
ports = ["20000-20999"]

[store]
url = "sqlite:pbx-data/pbx.db"

[[extensions]]
number   = "1001"
name     = "Kitchen"
password = "secret"
codecs   = ["PCMA", "PCMU"]

[[trunks]]
name    = "lab"
address = "udp:127.0.0.1:5170"

[[routes]]
prefix = "9"
strip  = 1
trunk  = "lab"

[services]
milliwatt = "100"
echo      = "186"
"#;

/// The problems of a text, one a line.
fn problems(text: &str) -> String {
    let problems = Config::parse(text).unwrap_err();
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn the_whole_file_is_understood() {
    let config = Config::parse(WHOLE).unwrap();
    let listen: Vec<String> = config.sip.listen.iter().map(Listen::to_string).collect();
    assert_eq!(listen, ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]);
    assert_eq!(config.sip.realm, "pbx.example");
    assert_eq!(config.network.external, External::Auto);
    assert_eq!(config.network.local.len(), 3);
    assert_eq!(config.network.stun, None);
    assert_eq!(config.media.ports.to_string(), "20000-20999");
    assert_eq!(config.store.url, StoreUrl::Sqlite("pbx-data/pbx.db".into()));
    let kitchen = config.extension("1001").unwrap();
    assert_eq!((kitchen.name.as_str(), kitchen.password.reveal()), ("Kitchen", "secret"));
    assert_eq!(kitchen.voice, Voice::default());
    assert_eq!(config.trunks[0].servers[0].to_string(), "udp:127.0.0.1:5170");
    assert_eq!(config.routes, [Route { prefix: "9".into(), strip: 1, trunk: "lab".into() }]);
    assert_eq!(config.services, Services::default());
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = Config::parse("").unwrap();
    assert_eq!(config, Config::default());
    let listen: Vec<String> = config.sip.listen.iter().map(Listen::to_string).collect();
    assert_eq!(listen, ["udp:0.0.0.0:5060", "udp:[::]:5060", "tcp:0.0.0.0:5060", "tcp:[::]:5060"]);
    assert!(config.sip.listen_is_default);
}

#[test]
fn what_is_not_toml_has_its_place() {
    assert_eq!(
        problems("[sip]\nlisten = [\"udp:1\n"),
        "line 2, column 17: is not TOML: unclosed array, expected `]`\n"
    );
    assert!(problems("[sip]\nlisten 3\n").starts_with("line 2, column 8: is not TOML: "));
    assert!(problems("a = 1\na = 2\n").starts_with("line 2, column 1: is not TOML: duplicate key"));
}

#[test]
fn packets_are_marked_where_the_file_says_so() {
    let config = Config::parse("[sip]\ndscp = 32\n[media]\ndscp = 46\n").unwrap();
    let marks = [config.sip.dscp, config.media.dscp].map(|mark| mark.map(Dscp::value));
    assert_eq!(marks, [Some(32), Some(46)]);
    assert_eq!((Config::default().sip.dscp, Config::default().media.dscp), (None, None));
    assert!(problems("[media]\ndscp = 64\n").contains("dscp"));
    // Voice to one neighbour, or to one telephone, as it alone wants it.
    let config = Config::parse(
        "[[trunks]]\nname = \"a\"\naddress = \"udp:192.0.2.7:5060\"\ndscp = 34\n\
         [[extensions]]\nnumber = \"1001\"\npassword = \"x\"\n",
    )
    .unwrap();
    assert_eq!(config.trunks[0].voice.dscp.map(Dscp::value), Some(34));
    assert_eq!(config.extensions[0].voice.dscp, None);
}

#[test]
fn an_unknown_key_is_an_error_and_a_slip_is_guessed() {
    assert_eq!(
        problems("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n  relm = \"x\"\n"),
        "line 3, column 3: sip.relm: is not a key that is known here; did you mean `realm`?\n"
    );
    assert_eq!(
        problems("[sip]\ncolour = \"red\"\n"),
        "line 2, column 1: sip.colour: is not a key that is known here, expected one of `listen`, `dscp`, `realm`, `digest`\n"
    );
    assert!(problems("[extension]\nnumber = \"1\"\n").contains("did you mean `extensions`?"));
    assert!(
        problems("colour = 1\n").starts_with("line 1, column 1: colour: is not a key that is known here")
    );
}

#[test]
fn a_wrong_kind_says_what_was_found_and_what_was_expected() {
    assert_eq!(
        problems("[sip]\nlisten = \"udp:127.0.0.1:5060\"\n"),
        "line 2, column 10: sip.listen: is a string, expected a list of strings, as [\"…\", \"…\"]\n"
    );
    assert_eq!(
        problems("[services]\necho = 186\n"),
        "line 2, column 8: services.echo: is a number, expected a string in quotation marks\n"
    );
    assert!(problems("extensions = 3").contains("extensions: is a number, expected tables `[[extensions]]`"));
    assert!(problems("sip = []").contains("sip: is a list, expected a table `[sip]`"));
    assert!(
        problems("[calls]\nlimit = 0")
            .contains("calls.limit: is 0, expected a whole number from 1 to 100000")
    );
    assert!(problems("[calls]\nlimit = -1").contains("is -1, expected a whole number from 1 to 100000"));
    assert!(
        problems("[calls]\nlimit = 1.5").contains("is a number with a fraction, expected a whole number")
    );
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_file() {
    let text = "[media]\nports = [\"9-3\", \"x\"]\n[network]\nlocal = [\"10.0.0.1/8\"]\nexternal = \"a b\"\n\
                [sip]\nlisten = [\"udp:127.0.0.1:99999\"]\n";
    let places: Vec<(usize, usize, String)> =
        Config::parse(text).unwrap_err().into_iter().map(|p| (p.line, p.column, p.key)).collect();
    let expected = [
        (2, 10, "media.ports[0]"),
        (2, 17, "media.ports[1]"),
        (4, 10, "network.local[0]"),
        (5, 12, "network.external"),
        (7, 11, "sip.listen[0]"),
    ];
    assert_eq!(places, expected.map(|(line, column, key)| (line, column, key.to_owned())));
}

#[test]
fn numbers_names_addresses_and_prefixes_are_used_once() {
    let two = "[[extensions]]\nnumber = \"1\"\npassword = \"a\"\n[[extensions]]\nnumber = \"1\"\npassword = \"b\"\n";
    assert_eq!(
        problems(two),
        "line 5, column 10: extensions[1].number: \"1\" is used by extension 1 already\n"
    );
    let service = "[[extensions]]\nnumber = \"7\"\npassword = \"a\"\n[services]\necho = \"7\"\n";
    assert!(problems(service).contains("services.echo: \"7\" is used by extension 7 already"));
    let trunks =
        "[[trunks]]\nname = \"a\"\naddress = \"udp:h:1\"\n[[trunks]]\nname = \"b\"\naddress = \"udp:H:1\"\n";
    assert!(
        problems(trunks).contains("line 6, column 11: trunks[1].address: \"udp:h:1\" is used by trunk \"a\"")
    );
    let streams =
        "[[trunks]]\nname = \"a\"\naddress = \"tcp:h:1\"\n[[trunks]]\nname = \"b\"\naddress = \"tcp:h:2\"\n";
    assert!(problems(streams).contains("is used by trunk \"a\" already"));
}

#[test]
fn a_default_service_gives_way_to_an_extension_of_its_number() {
    let config = Config::parse("[[extensions]]\nnumber = \"100\"\npassword = \"a\"\n").unwrap();
    assert_eq!(config.services.number(Service::Milliwatt), None);
    assert_eq!(config.services.number(Service::Echo), Some("186"));
}

#[test]
fn an_empty_service_is_switched_off() {
    let config = Config::parse("[services]\necho = \"\"\n").unwrap();
    assert_eq!(config.services.number(Service::Milliwatt), Some("100"));
    assert_eq!(config.services.number(Service::Echo), None);
}

#[test]
fn a_route_names_a_trunk_and_cuts_its_prefix_off_unless_told() {
    let trunk = "[[trunks]]\nname = \"lab\"\naddress = \"udp:h\"\n[[routes]]\nprefix = \"0390\"\n";
    let config = Config::parse(&format!("{trunk}trunk = \"lab\"\n")).unwrap();
    assert_eq!(config.routes[0].strip, 4);
    assert!(
        problems(&format!("{trunk}trunk = \"lob\"\n"))
            .contains("line 6, column 9: routes[0].trunk: \"lob\" is not a trunk, expected one of `lab`")
    );
    assert!(problems("[[routes]]\nprefix = \"9\"\ntrunk = \"x\"\n").contains("there are no [[trunks]]"));
}

#[test]
fn a_trunk_may_pass_calls_on_unless_told() {
    let text = |more: &str| format!("[[trunks]]\nname = \"a\"\naddress = \"udp:h\"\n{more}");
    assert!(Config::parse(&text("")).unwrap().trunks[0].transit);
    assert!(!Config::parse(&text("transit = false\n")).unwrap().trunks[0].transit);
    assert!(Config::parse(&text("")).unwrap().trunks[0].supervise.is_some());
    assert!(Config::parse(WHOLE).unwrap().trunks[0].supervise.is_none(), "not on the loopback");
    assert!(
        problems(&text("transit = \"no\"\n"))
            .contains("trunks[0].transit: is a string, expected true or false")
    );
}

#[test]
fn what_must_be_there_is_missed() {
    assert_eq!(
        problems("[[extensions]]\nname = \"Kitchen\"\n"),
        "line 1, column 1: extensions[0].number: is missing\nline 1, column 1: extensions[0].password: is missing\n"
    );
    assert!(problems("[sip]\nlisten = []\n").contains("sip.listen: is empty"));
    assert!(problems("[[extensions]]\nnumber = \"1\"\npassword = \"\"\n").contains("not empty"));
}

#[test]
fn a_codec_is_one_that_can_be_carried() {
    let text =
        |codecs: &str| format!("[[extensions]]\nnumber = \"1\"\npassword = \"a\"\ncodecs = {codecs}\n");
    let config = Config::parse(&text("[\"pcmu\"]")).unwrap();
    assert_eq!(config.extensions[0].voice.codecs, [Codec::Pcmu]);
    let config = Config::parse(&text("[\"opus\"]\nencryption = \"required\"")).unwrap();
    let voice = Voice { codecs: vec![Codec::Opus], encryption: Encryption::Required, ..Voice::default() };
    assert_eq!(config.extensions[0].voice, voice);
    assert!(
        problems(&text("[\"PCMU\"]\nencryption = \"on\""))
            .contains("\"on\" is not known here, expected one of `off`")
    );
    assert!(
        problems(&text("[\"PCMX\"]"))
            .contains("line 4, column 11: extensions[0].codecs[0]: \"PCMX\" is not known here, expected one of `PCMA`, `PCMU`, `G722`")
    );
    assert!(problems(&text("[\"PCMU\", \"PCMU\"]")).contains("is written twice"));
    assert!(problems(&text("[]")).contains("is empty"));
}

#[test]
fn digests_are_those_that_telephones_know() {
    let text = |list: &str| format!("[sip]\ndigest = {list}\n");
    assert_eq!(Config::parse("").unwrap().sip.digest, [Algorithm::Md5]);
    let both = Config::parse(&text("[\"SHA-256\", \"MD5\"]")).unwrap().sip.digest;
    assert_eq!(both, [Algorithm::Sha256, Algorithm::Md5]);
    assert!(problems(&text("[\"SHA1\"]")).contains("expected one of `MD5`, `SHA-256`, `SHA-512-256`"));
    assert!(problems(&text("[]")).contains("sip.digest: is empty"));
}

#[test]
fn the_guard_spares_the_local_networks_unless_told() {
    let local = "[network]\nlocal = [\"10.0.0.0/8\"]\n";
    let exempt = |text: &str| {
        Config::parse(text).unwrap().guard.exempt.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(exempt(local), ["10.0.0.0/8"]);
    assert_eq!(exempt(&format!("{local}[guard]\nexempt = []\n")), Vec::<String>::new());
    assert_eq!(Config::parse("[guard]\nban_seconds = 7\n").unwrap().guard.ban, Duration::from_secs(7));
    assert!(problems("[guard]\nbans = 7\n").contains("expected one of `exempt`, `offences`, `ban_seconds`"));
}

#[test]
fn ports_are_ranges_that_do_not_overlap_and_hold_a_call() {
    let text = |ports: &str| format!("[media]\nports = {ports}\n");
    assert_eq!(
        Config::parse(&text("[\"100-107\", \"200-203\"]")).unwrap().media.ports.to_string(),
        "100-107, 200-203"
    );
    assert!(problems(&text("[\"100-107\", \"107-110\"]")).contains("overlaps \"100-107\""));
    assert!(problems(&text("[\"101-104\"]")).contains("a call needs two pairs"));
    assert!(problems(&text("[]")).contains("a call needs two pairs"));
    assert!(problems(&text("[\"0-10\"]")).contains("is not a range"));
}

#[test]
fn a_group_names_extensions_and_its_number_is_its_own() {
    let text = |group: &str| {
        format!(
            "[[extensions]]\nnumber = \"1\"\npassword = \"a\"\n[[extensions]]\nnumber = \"2\"\npassword = \"a\"\n[[groups]]\n{group}"
        )
    };
    let whole = "number = \"8\"\nmembers = [\"2\", \"1\"]\nstrategy = \"hunt\"\nring_seconds = 7\nforward_no_answer = \"100\"\n";
    let config = Config::parse(&text(whole)).unwrap();
    let group = Group {
        number: "8".into(),
        members: vec!["2".into(), "1".into()],
        strategy: Strategy::Hunt,
        ring: Some(Duration::from_secs(7)),
        no_answer: Some("100".into()),
    };
    assert_eq!(config.groups, [group]);
    assert!(problems(&text("number = \"1\"\nmembers = [\"2\"]\n")).contains("groups[0].number"));
    assert!(problems(&text("number = \"8\"\n")).contains("groups[0].members: expected at least one"));
    assert!(
        problems(&text("number = \"8\"\nmembers = [\"3\"]\n"))
            .contains("\"3\" is not an extension of this file")
    );
    let strategy = text("number = \"8\"\nmembers = [\"1\"]\nstrategy = \"any\"\n");
    assert!(problems(&strategy).contains("expected one of `all`, `hunt`, `round robin`"));
}

#[test]
fn an_extension_says_where_its_calls_go() {
    let text = |keys: &str| format!("[[extensions]]\nnumber = \"1\"\npassword = \"a\"\n{keys}\n");
    assert_eq!(Config::parse(&text("")).unwrap().extensions[0].forward, Forward::default());
    let all = "forward_always = \"2\"\nforward_busy = \"3\"\nforward_no_answer = \"4\"\nforward_unreachable = \"5\"\ndo_not_disturb = true\nring_seconds = 9\n\
               priority_seconds = 7\nfollow_me = [\"6\", \"7\"]\nfollow_me_seconds = 20";
    let forward = Forward {
        do_not_disturb: true,
        always: Some("2".into()),
        busy: Some("3".into()),
        no_answer: Some("4".into()),
        unreachable: Some("5".into()),
        ring: Some(Duration::from_secs(9)),
        by_priority: Some(Duration::from_secs(7)),
        follow_me: vec!["6".into(), "7".into()],
        follow_me_ring: Some(Duration::from_secs(20)),
    };
    assert_eq!(Config::parse(&text(all)).unwrap().extensions[0].forward, forward);
    assert!(problems(&text("forward_busy = \"a b\"")).contains("extensions[0].forward_busy"));
    assert!(problems(&text("ring_seconds = 0")).contains("extensions[0].ring_seconds"));
}

#[test]
fn a_trunk_has_a_whole_account_or_none() {
    let text = |keys: &str| format!("[[trunks]]\nname = \"a\"\naddress = \"udp:192.0.2.1:5060\"\n{keys}\n");
    assert_eq!(Config::parse(&text("")).unwrap().trunks[0].account, None);
    let config =
        Config::parse(&text("user = \"u\"\npassword = \"p\"\nregister = true\nincoming = \"1001\"")).unwrap();
    let account = config.trunks[0].account.as_ref().unwrap();
    assert_eq!((account.user.as_str(), account.password.reveal(), account.register), ("u", "p", true));
    assert_eq!(config.trunks[0].incoming.as_deref(), Some("1001"));
    assert!(problems(&text("user = \"u\"")).contains("trunks[0].password: is missing, for there is a user"));
    assert!(
        problems(&text("password = \"p\"")).contains("trunks[0].user: is missing, for there is a password")
    );
    assert!(
        problems(&text("register = true")).contains("trunks[0].user: is missing, for we are to register")
    );
}

#[test]
fn passwords_do_not_print_themselves() {
    let config = Config::parse(WHOLE).unwrap();
    assert!(!format!("{config:?}").contains("\"secret\""));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(\\PC|\n){0,200}") {
        let _ = Config::parse(&text);
    }

    #[test]
    fn a_mangled_file_panics_never_and_every_problem_lies_in_it(cut in 0..WHOLE.len(), byte in 32u8..127) {
        let mut text = WHOLE.as_bytes().to_vec();
        text[cut] = byte;
        let text = String::from_utf8(text).unwrap();
        if let Err(problems) = Config::parse(&text) {
            proptest::prop_assert!(!problems.is_empty());
            for problem in problems {
                proptest::prop_assert!(problem.line >= 1 && problem.line <= text.lines().count() + 1);
                proptest::prop_assert!(problem.column >= 1);
            }
        }
    }
}

#[test]
fn ports_may_be_those_of_a_shared_address() {
    let config = Config::parse("[media]\nmap_e = { offset = 6, length = 8, psid = 52 }\n").unwrap();
    assert_eq!(config.media.ports.len(), 63 * 4);
    assert!(config.media.ports.contains(1_024 + 52 * 4) && !config.media.ports.contains(20_000));
    assert!(problems("[media]\nmap_e = { length = 8 }\n").contains("media.map_e.psid"));
    assert!(problems("[media]\nmap_e = { offset = 6, length = 16, psid = 1 }\n").contains("media.map_e"));
}

#[test]
fn three_lines_are_a_turn_server() {
    let read = |text: &str| Config::parse(text).unwrap();
    let config = read("[turn]\nsecret = \"of the page\"\nexternal = \"203.0.113.5\"\n");
    let turn = config.turn.unwrap();
    assert_eq!(turn.ports.to_string(), "50000-50999");
    assert_eq!(turn.external, Some("203.0.113.5".parse().unwrap()));
    assert!(matches!(turn.users, TurnUsers::Secret(secret) if secret.reveal() == "of the page"));
    assert!(read("").turn.is_none());
    let named = read("[turn.users]\nalice = \"one\"\nbob = \"two\"\n").turn.unwrap();
    assert!(matches!(named.users, TurnUsers::Named(users) if users.len() == 2));
}

#[test]
fn what_is_relayed_is_not_used_for_voice() {
    let config = Config::parse("[turn]\nsecret = \"x\"\nports = [\"20900-20999\"]\n").unwrap();
    assert_eq!(config.media.ports.to_string(), "20000-20899");
    let router = "[media]\nmap_e = { offset = 6, length = 8, psid = 52 }\n";
    let missing = Config::parse(&format!("{router}[turn]\nsecret = \"x\"\n")).unwrap_err();
    assert!(missing[0].to_string().contains("which of the router's ports"), "{missing:?}");
    let owned = Config::parse(router).unwrap().media.ports;
    let first = owned.ranges().first().unwrap().clone();
    let turn = format!("{router}[turn]\nsecret = \"x\"\nports = [\"{}-{}\"]\n", first.start(), first.end());
    let config = Config::parse(&turn).unwrap();
    assert_eq!(config.media.ports, owned.difference(&PortSet::from_ranges([first])));
    let outside = Config::parse(&format!("{router}[turn]\nsecret = \"x\"\nports = [\"1024-1030\"]\n"));
    assert!(outside.unwrap_err()[0].to_string().contains("not of those that the router owns"));
}

#[test]
fn mistakes_in_the_turn_table_have_a_place() {
    for (wrong, said) in [
        ("secret = \"\"", "turn.secret"),
        ("secret = \"a\"\nusers = { b = \"c\" }", "either a secret or users"),
        ("users = {}", "is empty, expected names and passwords"),
        ("users = { b = 1 }", "expected a string"),
        ("listen = [\"ws:0.0.0.0\"]", "expected udp:, tcp: or tls:"),
        ("ports = []", "expected ports"),
        ("ports = [\"20000-20999\"]", "leaves fewer than the two pairs"),
        ("external = \"turn.example\"", "is not an address"),
        ("per_user = 0", "expected a whole number"),
        ("relay = \"x\"", "is not a key"),
    ] {
        let problems = Config::parse(&format!("[turn]\n{wrong}\n")).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(said)), "{wrong}: {problems:?}");
    }
}
