//! Safety that takes more than one program to show: callers signed between two exchanges, secrets under a key, figures for
//! those who watch, certificates renewed while it runs, documents fetched over https, rules tried by `pbx check`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use denwa_interop::{PATIENCE, Peer, Ports, Scratch, require, wait_until};
use phone::{Phone, Program, folder, free_port};

/// Runs `pbx` in a folder with something on its input; what it printed, both ways.
fn pbx(folder: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pbx"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap() + std::str::from_utf8(&output.stderr).unwrap(),
    )
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// An exchange's file: extension 200, a trunk to a port, reached by 0510.
fn exchange(port: u16, neighbour: u16, keys: &str, more: &str) -> String {
    format!(
        "[[extensions]]\nnumber = \"200\"\npassword = \"secret-200\"\n\
         [[trunks]]\nname = \"other\"\naddress = \"udp:127.0.0.1:{neighbour}\"\n{keys}\n\
         [[routes]]\nprefix = \"0510\"\ntrunk = \"other\"\n{more}\n\
         [sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n[calls]\nannouncements = false\n\
         [media]\nports = [\"{0}-{1}\"]\n",
        u32::from(port) % 20_000 + 20_000,
        u32::from(port) % 20_000 + 20_099,
    )
}

fn phone(port: u16) -> Phone {
    let mut phone = Phone::udp(at(port), "200", "secret-200");
    assert_eq!(phone.register(300).status(), 200);
    phone
}

#[test]
fn callers_are_signed_between_exchanges_and_nobody_else_can() {
    let (p, q, r) = (free_port(), free_port(), free_port());
    let signs = |url: &str| format!("[identity]\nurl = \"{url}\"\n");
    let (one, other, thief) = (folder("signer"), folder("verifier"), folder("thief"));
    // P's key is made by the command, and handed to Q.
    fs::write(
        one.join("pbx.toml"),
        exchange(p, q, "sign = true\nidentity = \"p-asserted\"", &signs("https://p.example/key")),
    )
    .unwrap();
    let (good, printed) = pbx(&one, &["--config", "pbx.toml", "identity"], "");
    assert!(good && printed.starts_with("-----BEGIN PUBLIC KEY-----"), "{printed}");
    fs::write(other.join("p.pem"), &printed).unwrap();
    let _p = Program::start_again(one);
    let trusts =
        "trusted_url = \"https://p.example/key\"\ntrusted_key = \"p.pem\"\nsignature_required = true";
    let mut q_program = Program::start(other, &exchange(q, p, trusts, ""));
    let (mut alice, mut bob) = (phone(p), phone(q));
    // A caller who withholds his number is signed for by the number that P asserts to Q; Q shows it to nobody.
    for (number, shown) in [("0510200", "<sip:0510200@"), ("*670510200", "<sip:anonymous@anonymous.invalid>")]
    {
        let calling = alice.call(number);
        let called = bob.invited();
        assert!(called.invite.header("From").contains(shown), "{:?}", called.invite);
        assert!(number.starts_with("05") || !called.invite.text().contains("0510"), "{:?}", called.invite);
        alice.give_up(&calling, &mut bob, &called);
        bob.expect("ACK", 0);
        assert_eq!(alice.final_of(&calling).status(), 487);
    }

    // Q itself does not sign, and P does not ask for it.
    let calling = bob.call("0510200");
    alice.invited();
    bob.cancel(&calling);
    drop(q_program.stop());

    // Somebody else's key under P's name; and none at all. Both are known by P's address.
    drop(_p);
    let keys = exchange(r, q, "sign = true", &signs("https://p.example/key"));
    let (good, _) = {
        fs::write(thief.join("pbx.toml"), &keys).unwrap();
        pbx(&thief, &["--config", "pbx.toml", "identity"], "")
    };
    assert!(good);
    let _thief = Program::start_again(thief);
    let verifier = folder("verifier-2");
    fs::write(verifier.join("p.pem"), &printed).unwrap();
    q_program = Program::start(verifier, &exchange(q, r, trusts, ""));
    let mut mallory = phone(r);
    let calling = mallory.call("0510200");
    assert_eq!(mallory.refused(&calling).status(), 438);
    q_program.wait_for("the PASSporT is not signed by that key");
    drop(_thief);
    let mut plain = Phone::udp_at(at(q), "200", "", at(r));
    let calling = plain.call("200");
    assert_eq!(plain.refused(&calling).status(), 428);
    // Both have a record with cause and remedy.
    let signed = "The call of the trunk other was refused with 438: the PASSporT is not signed by that key.\n\
                  Compare the key and its URL with those the other side signs with";
    assert!(why(&mut q_program, 1).contains(signed), "{}", why(&mut q_program, 1));
    let unsigned =
        "was refused with 428: the caller's identity is not signed.\nHave the other side sign its callers";
    assert!(why(&mut q_program, 2).contains(unsigned), "{}", why(&mut q_program, 2));
}

/// What `pbx why` says of a call that is over; it is on disk a moment after it was told.
fn why(program: &mut Program, call: u64) -> String {
    program.wait_for(&format!("call {call}: "));
    let mut said = String::new();
    let known = wait_until(PATIENCE, || {
        let (good, printed) = pbx(&program.folder, &["--config", "pbx.toml", "why", &call.to_string()], "");
        said = printed;
        good && !said.contains("ago; it is")
    });
    assert!(known, "{said}");
    said
}

#[test]
fn what_rules_forbid_is_told_with_cause_and_remedy() {
    let port = free_port();
    let file = exchange(
        port,
        free_port(),
        "barred = [\"0990\"]\npin_for = [\"090\"]\npin = \"4711\"\ncall_limit = 5",
        "[[extensions]]\nnumber = \"201\"\npassword = \"secret-201\"\nallow = [\"127.0.0.1\"]\n[guard]\ndeny = [\"127.0.0.9\"]\n\
         exempt = []\n",
    );
    let mut program = Program::start(folder("rules"), &file);
    let mut alice = phone(port);
    let says = |program: &mut Program, call: u64, cause: &str, remedy: &str| {
        let said = why(program, call);
        assert!(said.contains(&format!("{cause}\n{remedy}")), "{said}");
        program.wait_for(&format!("{cause} {remedy}"));
    };

    // Limits on what goes out.
    let calling = alice.call("05100990123");
    assert_eq!(alice.refused(&calling).status(), 403);
    let fraud = "Raise the limit if the call was meant; if it was not, look who calls: it may be fraud.";
    says(&mut program, 1, "Numbers that begin with 0990 are barred for the trunk other.", fraud);

    // A PIN that is wrong to the end.
    let mut calling = alice.call("0510090123");
    alice.answered(&mut calling);
    for digit in "1#2#3#".chars() {
        let body = format!("Signal={digit}\r\nDuration=160\r\n");
        alice.request(&mut calling, "INFO", "Content-Type: application/dtmf-relay\r\n", &body);
        assert_eq!(alice.final_response("INFO").status(), 200);
    }
    alice.hung_up(&calling);
    let dial =
        "Dial the PIN from a telephone that can be asked for it; after too many wrong ones, wait an hour.";
    program.wait_for(&format!("the PIN is wrong. {dial}"));
    says(&mut program, 2, "The PIN for 090123 was wrong 3 times.", dial);

    // Lists: one of an extension's own, and that of the exchange.
    let list = "Put its address and transport into the list, or have it come by what is in there.";
    let mut elsewhere = Phone::udp_at(at(port), "201", "secret-201", "127.0.0.5:0".parse().unwrap());
    assert_eq!(elsewhere.register(300).status(), 403);
    program.wait_for(&format!("the `allow` of 201 in the file names other addresses or transports. {list}"));
    let calling = elsewhere.call("200");
    assert_eq!(elsewhere.refused(&calling).status(), 403);
    let cause = format!(
        "Udp {} may not call: the `allow` of 201 in the file names other addresses or transports.",
        elsewhere.address()
    );
    says(&mut program, 3, &cause, list);
    let mut denied = Phone::udp_at(at(port), "201", "secret-201", "127.0.0.9:0".parse().unwrap());
    denied.patience(Duration::from_millis(10));
    assert_eq!(denied.try_register(300), None);
    program.wait_for(&format!("from udp {}: it is not to come, by `[guard] deny`. {list}", denied.address()));

    // Passwords, and what comes of guessing them.
    let mut guesser = Phone::udp_at(at(port), "201", "wrong", "127.0.0.7:0".parse().unwrap());
    assert_eq!(guesser.register(300).status(), 401);
    program.wait_for(
        "the password is wrong. Compare number and password in the phone with those given out here.",
    );
    // From many places, over UDP and TCP: the account is closed to strangers, and who is registered speaks on.
    for host in 20..120 {
        if program.printed().contains("account 201 is banned") {
            break;
        }
        let local = format!("127.0.{host}.1:0").parse().unwrap();
        let mut other = Phone::udp_at(at(port), "201", "wrong", local);
        assert_eq!(other.register(300).status(), 401);
    }
    program.wait_for("account 201 is banned for");
    let mut owner = Phone::udp_at(at(port), "201", "secret-201", "127.0.1.1:0".parse().unwrap());
    assert_eq!(owner.register(300).status(), 401, "he is a stranger, with the right password or not");
    program.wait_for("its password was guessed too often of late, so that strangers cannot log in with it");
    assert_eq!(alice.register(300).status(), 200, "another account is none of it");
    guesser.patience(Duration::from_millis(200));
    for _ in 0..100 {
        if program.printed().contains("is banned for") {
            break;
        }
        guesser.try_register(300);
    }
    program.wait_for(
        "Pardon the address, or put its network among those that are never refused, if it is wanted.",
    );
}

#[test]
fn secrets_are_sealed_under_a_key_file() {
    let folder = folder("sealed");
    let (good, sealed) = pbx(&folder, &["seal"], "wave-kettle\n");
    assert!(good && sealed.starts_with("sealed:") && !sealed.contains("wave-kettle"), "{sealed}");
    let key = folder.join("pbx-data/secrets.key");
    let file = |password: &str| {
        format!(
            "[[trunks]]\nname = \"lab\"\naddress = \"udp:192.0.2.1\"\nuser = \"hill\"\npassword = \"{}\"\n",
            password.trim()
        )
    };
    fs::write(folder.join("pbx.toml"), file(&sealed)).unwrap();
    let (good, said) = pbx(&folder, &["check", "pbx.toml"], "");
    assert!(good && !said.contains("in the open"), "{said}");
    fs::write(folder.join("open.toml"), file("wave-kettle")).unwrap();
    assert!(
        pbx(&folder, &["check", "open.toml"], "")
            .1
            .contains("The secrets of 1 trunk stand in it in the open")
    );
    // A key that others can read is none; another one opens nothing.
    let _ = Command::new("chmod").arg("644").arg(&key).status().unwrap();
    let (good, said) = pbx(&folder, &["check", "pbx.toml"], "");
    assert!(!good && said.contains("others can read it"), "{said}");
    fs::remove_file(&key).unwrap();
    let (_, _) = pbx(&folder, &["seal"], "other\n");
    let (good, said) = pbx(&folder, &["check", "pbx.toml"], "");
    assert!(
        !good && said.contains("trunk lab: what is sealed there was not sealed under this key file"),
        "{said}"
    );
    let (good, said) = pbx(&folder, &["seal"], "\n");
    assert!(!good && said.contains("expected a secret of one line"), "{said}");
}

#[test]
fn figures_are_served_where_the_file_says_and_nowhere_else() {
    let (port, metrics) = (free_port(), free_port());
    let more = format!("[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n");
    let _program = Program::start(folder("metrics"), &exchange(port, free_port(), "", &more));
    let _alice = phone(port);
    let get = |path: &str| {
        let mut stream = TcpStream::connect(at(metrics)).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = get("/metrics");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for line in [
        "denwa_registrations 1",
        "denwa_calls 0",
        "# TYPE denwa_calls gauge",
        "denwa_trunk_calls{trunk=\"other\"} 0",
    ] {
        assert!(answer.lines().any(|own| own == line), "{line} in {answer}");
    }
    assert!(get("/").starts_with("HTTP/1.1 404"));
}

#[test]
fn check_tries_the_examples_of_rules() {
    let folder = folder("examples");
    let rule = |example: &str| {
        format!(
            "[[rewrites]]\npeer = \"192.0.2.0/24\"\non = \"received\"\nat = \"header From\"\nfind = \"anonymous@localhost\"\n\
             put = \"1001@pbx\"\nexamples = [\"<sip:anonymous@localhost>\", \"{example}\"]\n"
        )
    };
    fs::write(folder.join("pbx.toml"), rule("<sip:1001@pbx>")).unwrap();
    assert!(pbx(&folder, &["check", "pbx.toml"], "").0);
    fs::write(folder.join("pbx.toml"), rule("<sip:1002@pbx>")).unwrap();
    let (good, said) = pbx(&folder, &["check", "pbx.toml"], "");
    let expected = "pbx.toml: line 7, column 13: rewrites[0].examples: do not come true: \"<sip:anonymous@localhost>\" \
                    becomes \"<sip:1001@pbx>\", not \"<sip:1002@pbx>\"";
    assert!(!good && said.contains(expected), "{said}");
    let trunk = "[[trunks]]\nname = \"a\"\naddress = \"udp:192.0.2.1\"\nrewrite_outgoing = [\"0=+81\"]\n";
    fs::write(folder.join("pbx.toml"), format!("{trunk}outgoing_examples = [\"0312=+8132\"]\n")).unwrap();
    let (good, said) = pbx(&folder, &["check", "pbx.toml"], "");
    assert!(!good && said.contains("\"0312\" becomes \"+81312\", not \"+8132\""), "{said}");
}

/// A certificate for 127.0.0.1 by an authority made on the spot: the authority's PEM, the certificate's, the key's.
fn certificate(folder: &Path, name: &str) -> [PathBuf; 3] {
    let [ca, cert, key] = ["ca", "cert", "key"].map(|kind| folder.join(format!("{name}-{kind}.pem")));
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, name);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let own_key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&own_key, &issuer).unwrap();
    fs::write(&ca, root.pem()).unwrap();
    fs::write(&cert, own.pem()).unwrap();
    fs::write(&key, own_key.serialize_pem()).unwrap();
    [ca, cert, key]
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    if !require("openssl") {
        return;
    }
    let folder = folder("renewed");
    let port = free_port();
    let [_, cert, key] = certificate(&folder, "old");
    let file = format!(
        "[sip]\nlisten = [\"tls:127.0.0.1:{port}\"]\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n[store]\nurl = \"sqlite:pbx.db\"\n\
         [[extensions]]\nnumber = \"200\"\npassword = \"x\"\n",
        cert.display(),
        key.display()
    );
    let mut program = Program::start(folder.clone(), &file);
    let shown_by = || {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-showcerts"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(wait_until(PATIENCE, || shown_by().contains("CN = old") || shown_by().contains("CN=old")));
    let [_, new_cert, new_key] = certificate(&folder, "new");
    fs::copy(new_cert, &cert).unwrap();
    fs::copy(new_key, &key).unwrap();
    program.signal("HUP");
    program.wait_for("the configuration was read anew");
    assert!(wait_until(PATIENCE, || shown_by().contains("CN = new") || shown_by().contains("CN=new")));
}

#[test]
fn exchanges_meet_over_tls_by_an_authority_of_their_own() {
    let (p, q, p_tls, q_tls) = (free_port(), free_port(), free_port(), free_port());
    let file = |own: u16, own_tls: u16, other_tls: u16, tls: &str| {
        let text =
            exchange(own, 9, "", tls).replace("udp:127.0.0.1:9", &format!("tls:127.0.0.1:{other_tls}"));
        let both = format!("listen = [\"udp:127.0.0.1:{own}\", \"tls:127.0.0.1:{own_tls}\"]");
        text.replace(&format!("listen = [\"udp:127.0.0.1:{own}\"]"), &both)
    };
    // Q makes an authority at its first start; P is told of it.
    let q_folder = folder("tls-q");
    let _q = Program::start(q_folder.clone(), &file(q, q_tls, p_tls, ""));
    let stranger = Program::start(folder("tls-p"), &file(p, p_tls, q_tls, ""));
    let (mut alice, mut bob) = (phone(p), phone(q));
    let calling = alice.call("0510200");
    assert!(alice.refused(&calling).status() >= 400, "an authority that nobody trusts");
    drop(stranger);
    let trust = format!("[tls]\ntrust = \"{}\"\n", q_folder.join("tls/ca.pem").display());
    let _p = Program::start(folder("tls-p-2"), &file(p, p_tls, q_tls, &trust));
    let mut alice = phone(p);
    let (mut calling, called, answer) = alice.talk("0510200", &mut bob);
    alice.says_to(0x76, answer.rtp(), 8, &bob);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
}

#[test]
fn documents_of_neighbours_are_fetched_over_https() {
    if !require("openssl") {
        return;
    }
    let (scratch, mut ports) = (Scratch::new("mantela-https"), Ports::block());
    let port = ports.take(1);
    let [ca, cert, key] = certificate(scratch.path(), "valley");
    fs::write(
        scratch.path().join("mantela.json"),
        format!(
            r#"{{"aboutMe":{{"identifier":"valley","name":"Valley"}},"extensions":[{{"extension":"200","name":"Barn"}}],
               "providers":[{{"prefix":"0771","identifier":"coast","mantela":"https://127.0.0.1:{port}/coast.json"}},
                            {{"prefix":"0666","identifier":"dead","mantela":"https://127.0.0.1:{port}/nothing.json"}}]}}"#
        ),
    )
    .unwrap();
    fs::write(
        scratch.path().join("coast.json"),
        r#"{"aboutMe":{"identifier":"coast","name":"Coast"},"extensions":[{"extension":"33","name":"Pier"}],"providers":[]}"#,
    )
    .unwrap();
    let mut server = Command::new("openssl");
    server.current_dir(scratch.path()).args(["s_server", "-WWW", "-accept", &port.to_string(), "-cert"]);
    server.arg(&cert).arg("-key").arg(&key);
    let server = Peer::start("openssl", scratch.path(), &mut server);
    assert!(wait_until(PATIENCE, || TcpStream::connect(at(port)).is_ok()), "{}", server.log());
    let file = format!(
        "[[trunks]]\nname = \"valley\"\naddress = \"udp:192.0.2.1\"\nmantela = \"https://127.0.0.1:{port}/mantela.json\"\n\
         [[routes]]\nprefix = \"0510\"\ntrunk = \"valley\"\n[store]\nurl = \"sqlite::memory:\"\n"
    );
    fs::write(scratch.path().join("pbx.toml"), file).unwrap();
    let ask = |trust: &Path, command: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_pbx"))
            .args(["--config", "pbx.toml", "mantela", command])
            .current_dir(scratch.path())
            .env("SSL_CERT_FILE", trust)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap() + std::str::from_utf8(&output.stderr).unwrap()
    };
    let read = ask(&ca, "book");
    assert!(read.contains("0510200") && read.contains("Barn"), "{read}");
    // Its neighbours' documents are followed; a dead one is told and passed over.
    assert!(
        read.contains("0510077133") && read.contains("Pier") && read.contains("nothing.json is passed over"),
        "{read}"
    );
    let map = ask(&ca, "map");
    assert!(
        map.contains("\"valley\" -> \"coast\" [label=\"0771\"]") && map.contains("\"dead\" [style=dashed]"),
        "{map}"
    );
    // Whoever proves himself by an authority that is not trusted is passed over, and the rest goes on.
    let [stranger, ..] = certificate(scratch.path(), "stranger");
    let read = ask(&stranger, "book");
    assert!(read.contains("is passed over") && !read.contains("Barn"), "{read}");
}
