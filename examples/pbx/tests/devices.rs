//! Telephones and adapters with habits of their own, as SIPp scenarios named after them: each registers, calls the echo, perhaps
//! holds or presses a key, and hangs up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod interop_support;

use std::{fs, path::Path, time::Duration};

use denwa_interop::{
    require,
    sipp::{Options, Sipp},
};
use interop_support::Exchange;

#[test]
fn every_device_registers_calls_and_hangs_up() {
    if !require("sipp") {
        return;
    }
    let mut exchange = Exchange::start("devices", "");
    let folder = exchange.scratch.path().to_owned();
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/devices");
    let mut devices: Vec<_> = fs::read_dir(scenarios).unwrap().map(|entry| entry.unwrap().path()).collect();
    devices.sort();
    assert!(devices.len() >= 11, "{devices:?}");
    let target = format!("127.0.0.1:{}", exchange.sip_port);
    for (index, path) in devices.into_iter().enumerate() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let options = Options {
            name,
            // An extension of its own: one may be registered from so many places only.
            scenario: &fs::read_to_string(&path).unwrap().replace("1001", &(1001 + index % 5).to_string()),
            target: Some(&target),
            port: exchange.ports.take(1),
            media_port: exchange.ports.take(2),
            arguments: &["-m", "1", "-timeout", "60s", "-timeout_error"],
        };
        let good = Sipp::start(&options, &folder).finish(Duration::from_secs(90));
        let errors = fs::read_to_string(folder.join(format!("{name}.errors"))).unwrap_or_default();
        assert!(good, "{name}: {errors}\n{}", exchange.peer.log());
    }
    exchange.peer.stop();
}
