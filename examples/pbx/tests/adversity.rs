//! What goes wrong around an exchange: a store that another program has, a second exchange, no ports, a file that is gone. Each is
//! said in one sentence with what helps, and nothing that was acknowledged is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;
mod phone;

use std::process::Command;

use house::House;
use phone::{Phone, free_port, free_ports};

#[test]
fn a_locked_store_ends_no_call_loses_no_record_and_sends_no_telephone_away() {
    let mut house = House::new("locked", &["", "", ""], "");
    let (mut alice, mut bob) = (house.phone("1001"), house.phone("1002"));
    let holder = rusqlite::Connection::open(house.program.folder.join("pbx.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();

    let (calling, mut called, _) = alice.talk("1002", &mut bob);
    bob.hang_up(&mut called);
    alice.hung_up(&calling);
    house.program.wait_for("another program holds it locked: have that program end");
    // Who is registered stays so; who comes anew is refused, for a restart would not know him.
    assert_eq!(bob.register(300).status(), 200);
    let mut carol = Phone::udp(house.server, "1003", "secret-1003");
    assert_eq!(carol.register(300).status(), 500);
    house.program.wait_for(
        "the registration of 1003 was refused, for it could not be kept: the store cannot be written",
    );

    holder.execute_batch("COMMIT").unwrap();
    house.program.wait_for("the store can be written again, and has the 1 records and settings");
    house.program.wait_for("ended");
    assert_eq!(carol.register(300).status(), 200);
    let calls = house.json(&["calls"]);
    assert!(calls.to_string().contains("\"1002\""), "{calls}");
}

#[test]
fn a_second_exchange_is_kept_from_the_store_of_the_first() {
    let house = House::new("second", &[""], "");
    let folder = &house.program.folder;
    let listen = format!("[sip]\nlisten = [\"udp:127.0.0.1:{}\"]\n", free_port());
    std::fs::write(folder.join("second.toml"), listen + "[store]\nurl = \"sqlite:pbx.db\"\n").unwrap();
    let second = Command::new(env!("CARGO_BIN_EXE_pbx"))
        .args(["--config", "second.toml"])
        .current_dir(folder)
        .output()
        .unwrap();
    let error = String::from_utf8(second.stderr).unwrap();
    let said =
        format!("pbx: another pbx (process {}) runs with the store pbx.db: end that one", house.program.id());
    assert_eq!((second.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.starts_with(&said), "{error}");
    // Commands are no exchange.
    assert!(house.command(&["calls"]).status.success());
}

#[test]
fn a_call_without_ports_is_refused_with_cause_and_remedy_and_the_next_one_finds_them_again() {
    let base = free_ports(4);
    let tables = format!("[media]\nports = [\"{base}-{}\"]\n[calls]\nannouncements = false\n", base + 3);
    let mut house = House::new("ports", &["", "", "", ""], &tables);
    let mut phones = ["1001", "1002", "1003", "1004"].map(|number| house.phone(number));
    let [alice, bob, carol, dave] = &mut phones;
    let (calling, mut called, _) = alice.talk("1002", bob);

    let third = carol.call_with("1004", &carol.offer("8"));
    let refused = carol.refused(&third);
    assert_eq!(refused.status(), 503);
    let told = house.program.wait_for("There is no port left for voice");
    assert!(told.contains("[media] ports in the file widens the range; a call uses four."), "{told}");

    bob.hang_up(&mut called);
    alice.hung_up(&calling);
    // They are closed a moment after the call is over.
    let is_free = || {
        house.program.signal("USR1");
        house.program.printed().contains(" 0 media ports")
    };
    assert!(denwa_interop::wait_until(denwa_interop::PATIENCE, is_free));
    let (again, mut rung, _) = carol.talk("1004", dave);
    dave.hang_up(&mut rung);
    carol.hung_up(&again);
}

#[test]
fn a_file_that_is_gone_at_a_reload_changes_nothing() {
    let mut house = House::new("gone", &["", ""], "");
    let (mut alice, mut bob) = (house.phone("1001"), house.phone("1002"));
    let file = house.program.folder.join("pbx.toml");
    let aside = house.program.folder.join("aside");
    std::fs::rename(&file, &aside).unwrap();
    // Something is there, but it cannot be read, whoever asks.
    std::fs::create_dir(&file).unwrap();
    house.program.signal("HUP");
    let told = house.program.wait_for("the configuration stays as it was: ");
    assert!(told.contains("pbx.toml") && told.contains("pbx reload"), "{told}");
    let (calling, mut called, _) = alice.talk("1002", &mut bob);
    bob.hang_up(&mut called);
    alice.hung_up(&calling);
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    house.program.signal("HUP");
    house.program.wait_for("2 extensions");
}
