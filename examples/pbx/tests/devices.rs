//! Telephones and adapters with habits of their own, as SIPp scenarios named after them: each registers, calls the echo, perhaps
//! holds or presses a key, and hangs up. Those of which only some lines are peculiar are rows of [`HABITS`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod interop_support;

use std::{fs, path::Path};

use denwa_interop::{
    require,
    sipp::{Options, Sipp},
};
use interop_support::Exchange;

/// What is peculiar about a device, as lines of its messages; the rest is `scenarios/device.xml`.
struct Habits {
    name: &'static str,
    agent: &'static str,
    via: &'static str,
    forwards: &'static str,
    shown: &'static str,
    contact: &'static str,
    /// More headers of its INVITE.
    invite: &'static str,
    sdp: &'static str,
    /// The `c=` line of hold, and the lines behind it that follow those of `sdp`.
    hold: [&'static str; 2],
}

const VIA: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport";
const OLD_VIA: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]";
const CONTACT: &str = "Contact: <sip:1001@[local_ip]:[local_port]>";
const SDP: &str =
    "m=audio [media_port] RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\n";
const HERE: &str = "c=IN IP4 [local_ip]";
/// Hold as RFC 2543 had it.
const NOWHERE: &str = "c=IN IP4 0.0.0.0";

const MODERN: Habits = Habits {
    name: "",
    agent: "",
    via: VIA,
    forwards: "Max-Forwards: 70\n",
    shown: "",
    contact: CONTACT,
    invite: "",
    sdp: SDP,
    hold: [HERE, "a=sendonly\n"],
};

const HABITS: [Habits; 11] = [
    // An adapter for two analogue telephones: instance and reg-id in Contact, many codecs, ptime.
    Habits {
        name: "grandstream_ht812",
        agent: "Grandstream HT812 1.0.41.5",
        contact: "Contact: <sip:1001@[local_ip]:[local_port]>;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000B82FFEE01>\"",
        invite: "P-Early-Media: Supported\nSupported: replaces, path, timer, eventlist\n",
        sdp: "m=audio [media_port] RTP/AVP 0 8 2 18 101\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:2 G726-32/8000\n\
              a=rtpmap:18 G729/8000\na=fmtp:18 annexb=no\na=ptime:20\na=sendrecv\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n",
        ..MODERN
    },
    // A desk telephone: privacy headers, dynamic numbers all over the place.
    Habits {
        name: "grandstream_gxp1625",
        agent: "Grandstream GXP1625 1.0.7.64",
        shown: "\"Hall\" ",
        invite: "Privacy: none\nP-Preferred-Identity: \"Hall\" <sip:1001@[remote_ip]>\nSupported: replaces, path, timer\n",
        sdp: "m=audio [media_port] RTP/AVP 9 123 97 0 101\na=rtpmap:9 G722/8000\na=rtpmap:123 opus/48000/2\na=rtpmap:97 iLBC/8000\n\
              a=fmtp:97 mode=20\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=rtcp-xr:rcvr-rtt=all:10000 voip-metrics\n",
        ..MODERN
    },
    // Features in Contact, keys of its own between the lines, an offer of SRTP within RTP/AVP.
    Habits {
        name: "snom_d315",
        agent: "snomD315/8.9.3.80",
        contact: "Contact: <sip:1001@[local_ip]:[local_port];line=u1xhyaw3>;reg-id=1;q=1.0;+sip.instance=\"<urn:uuid:4be2d1a2-0001-4d5e-9a4b-000413AABB01>\";audio;mobility=\"fixed\";duplex=\"full\";description=\"snomD315\";actor=\"principal\";events=\"dialog\";methods=\"INVITE,ACK,CANCEL,BYE,REFER,OPTIONS,NOTIFY,SUBSCRIBE,PRACK,MESSAGE,INFO\"",
        invite: "X-Serialnumber: 000413AABB01\nP-Key-Flags: resolution=\"31x13\", keys=\"4\"\nAllow-Events: talk, hold, refer, call-info\nSupported: timer, 100rel, replaces, from-change\nSession-Expires: 3600\nMin-SE: 90\n",
        sdp: "m=audio [media_port] RTP/AVP 0 8 101\na=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:V1yPqEHvyzAJZPcBAOtfUDoVcxPQ1sMqiNcKXiMj\n\
              a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=ptime:20\n",
        ..MODERN
    },
    // An adapter for radios: no rport, no Max-Forwards, one codec without a name, no keys.
    Habits {
        name: "icom_ve_pg3",
        agent: "ICOM VE-PG3",
        via: OLD_VIA,
        forwards: "",
        sdp: "m=audio [media_port] RTP/AVP 0\na=ptime:20\n",
        hold: [NOWHERE, ""],
        ..MODERN
    },
    // A router with telephone sockets: no rport, hold as of old, a display name that is no token and not quoted.
    Habits {
        name: "yamaha_nvr500",
        agent: "Yamaha NVR500",
        via: OLD_VIA,
        shown: "Living room ",
        contact: "Contact: <sip:1001@[local_ip]:[local_port];user=phone>",
        sdp: "m=audio [media_port] RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\n",
        hold: [NOWHERE, ""],
        ..MODERN
    },
    // Its successor: a session timer of its own.
    Habits {
        name: "yamaha_nvr510",
        agent: "Yamaha NVR510",
        via: OLD_VIA,
        invite: "Supported: timer,100rel\nSession-Expires: 300;refresher=uac\nMin-SE: 300\nPrivacy: none\n",
        sdp: "m=audio [media_port] RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\n",
        ..MODERN
    },
    // RFC 2543: a Via without branch, a Contact without brackets.
    Habits {
        name: "yamaha_rt56v",
        agent: "Yamaha RT56v",
        via: "Via: SIP/2.0/[transport] [local_ip]:[local_port]",
        forwards: "",
        contact: "Contact: sip:1001@[local_ip]:[local_port]",
        sdp: "m=audio [media_port] RTP/AVP 0\n",
        hold: [NOWHERE, ""],
        ..MODERN
    },
    // A branch that is not unique, as before RFC 3261.
    Habits {
        name: "yamaha_rt57i",
        agent: "Yamaha RT57i",
        via: "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=1",
        contact: "Contact: sip:1001@[local_ip]:[local_port]",
        sdp: "m=audio [media_port] RTP/AVP 0\na=rtpmap:0 PCMU/8000/1\n",
        hold: [NOWHERE, ""],
        ..MODERN
    },
    // A picture beside the voice, which is refused by itself.
    Habits {
        name: "telephosee",
        agent: "TelePhoSee",
        sdp: "m=audio [media_port] RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\n\
              m=video [media_port+2] RTP/AVP 34\nb=AS:384\na=rtpmap:34 H263/90000\na=fmtp:34 QCIF=1\n",
        ..MODERN
    },
    // A softphone on pjsip: `ob`, bandwidth lines, its RTCP by an attribute, sources.
    Habits {
        name: "microsip",
        agent: "MicroSIP/3.21.5",
        via: "Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch];alias",
        contact: "Contact: <sip:1001@[local_ip]:[local_port];ob>",
        invite: "Supported: replaces, 100rel, timer, norefersub\nSession-Expires: 1800\nMin-SE: 90\n",
        sdp: "b=AS:84\nm=audio [media_port] RTP/AVP 0 8 101\nb=TIAS:64000\na=rtcp:7\na=sendrecv\n\
              a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\na=ssrc:44 cname:5a6b\n",
        ..MODERN
    },
    // A softphone of its own kind: codecs nobody else has first, both kinds of hold at once.
    Habits {
        name: "twinkle",
        agent: "Twinkle/1.10.2",
        shown: "\"1001\" ",
        invite: "Allow: INVITE,ACK,BYE,CANCEL,OPTIONS,PRACK,REFER,NOTIFY,SUBSCRIBE,INFO,MESSAGE\nSupported: replaces,norefersub,100rel\n",
        sdp: "m=audio [media_port] RTP/AVP 98 97 8 0 3 101\na=rtpmap:98 speex/16000\na=rtpmap:97 speex/8000\na=rtpmap:8 PCMA/8000\n\
              a=rtpmap:0 PCMU/8000\na=rtpmap:3 GSM/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\n",
        hold: [NOWHERE, "a=sendonly\n"],
        ..MODERN
    },
];

impl Habits {
    fn scenario(&self) -> String {
        let lines = [
            ("{NAME}", self.name),
            ("{AGENT}", self.agent),
            ("{VIA}", self.via),
            ("{FORWARDS}", self.forwards),
            ("{SHOWN}", self.shown),
            ("{CONTACT}", self.contact),
            ("{INVITE}", self.invite),
            ("{HOLD_C}", self.hold[0]),
            ("{HELD}", &format!("{}{}", self.sdp, self.hold[1])),
            ("{SDP}", self.sdp),
        ];
        lines.into_iter().fold(include_str!("scenarios/device.xml").to_owned(), |text, (word, line)| {
            text.replace(word, line)
        })
    }
}

#[test]
fn every_device_registers_calls_and_hangs_up() {
    if !require("sipp") {
        return;
    }
    let mut exchange = Exchange::start("devices", "");
    let folder = exchange.scratch.path().to_owned();
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/devices");
    let mut devices: Vec<(String, String)> =
        HABITS.iter().map(|habits| (habits.name.to_owned(), habits.scenario())).collect();
    for path in fs::read_dir(scenarios).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        devices.push((name, fs::read_to_string(&path).unwrap()));
    }
    devices.sort();
    assert_eq!(devices.len(), 22, "every telephone that our users have");
    let target = format!("127.0.0.1:{}", exchange.sip_port);
    // As many at a time as there are extensions: one may be registered from so many places only.
    for some in devices.chunks(5) {
        let mut running: Vec<(&str, Sipp)> = Vec::new();
        for (number, (name, scenario)) in (1001..).zip(some) {
            let options = Options {
                name,
                scenario: &scenario.replace("1001", &number.to_string()),
                target: Some(&target),
                port: exchange.ports.take(1),
                media_port: exchange.ports.take(4),
                arguments: &["-m", "1", "-timeout", "60s", "-timeout_error"],
            };
            running.push((name, Sipp::start(&options, &folder)));
        }
        for (name, mut sipp) in running {
            let good = sipp.finish(std::time::Duration::from_secs(90));
            let errors = fs::read_to_string(folder.join(format!("{name}.errors"))).unwrap_or_default();
            assert!(good, "{name}: {errors}\n{}", exchange.peer.log());
        }
    }
    exchange.peer.stop();
}
