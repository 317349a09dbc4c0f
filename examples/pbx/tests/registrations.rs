//! Registrations: who may, and what a restart leaves of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::net::SocketAddr;

use phone::{Phone, Program, folder, free_port};

fn file(port: u16) -> String {
    format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:{port}\", \"tcp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:data/pbx.db\"\n\
         [[extensions]]\nnumber = \"1001\"\npassword = \"one\"\n[[extensions]]\nnumber = \"1002\"\npassword = \"two\"\n"
    )
}

fn server(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn a_wrong_password_never_registers_and_looks_like_an_unknown_user() {
    let port = free_port();
    let mut program = Program::start(folder("password"), &file(port));
    let mut wrong = Phone::udp(server(port), "1001", "two");
    let mut nobody = Phone::udp(server(port), "1009", "two");
    let (first, second) = (wrong.register(300), nobody.register(300));
    assert_eq!((first.status(), second.status()), (401, 401));
    assert_eq!(first.header("Contact"), "");
    program.wait_for("the registration of 1001 from udp 127.0.0.1");
    program.wait_for("the password is wrong");
    program.wait_for("there is no such extension");
    let mut other = Phone::udp(server(port), "1002", "two");
    assert_eq!(other.register(300).status(), 200);
    let calling = other.call("1001");
    assert_eq!(other.refused(&calling).status(), 480, "nothing was registered");
}

#[test]
fn nobody_registers_for_another() {
    let port = free_port();
    let mut program = Program::start(folder("another"), &file(port));
    let mut phone = Phone::udp(server(port), "1002", "two");
    // The digest is that of 1002, the To that of 1001.
    let response = phone.register_as("1001", 300);
    assert_eq!(response.status(), 403);
    program.wait_for("it showed the password of 1002");
}

#[test]
fn a_telephone_registered_before_a_restart_is_called_at_once() {
    let port = free_port();
    let mut program = Program::start(folder("restart"), &file(port));
    let mut alice = Phone::udp(server(port), "1001", "one");
    let mut bob = Phone::udp(server(port), "1002", "two");
    assert_eq!(bob.register(300).status(), 200);
    program.wait_for("1002 registered from udp 127.0.0.1");
    let folder = program.stop();

    let mut program = Program::start(folder, &file(port));
    program.wait_for("1 registration");
    let (mut calling, called, _) = alice.talk("1002", &mut bob);
    alice.hang_up(&mut calling);
    bob.hung_up(&called);
}

#[test]
fn a_registration_acknowledged_survives_a_sudden_death() {
    let port = free_port();
    let mut program = Program::start(folder("death"), &file(port));
    let mut bob = Phone::udp(server(port), "1002", "two");
    assert_eq!(bob.register(300).status(), 200);
    program.signal("KILL");
    program.ended();
    let folder = std::mem::take(&mut program.folder);
    let program = Program::start(folder, &file(port));
    let mut alice = Phone::udp(server(port), "1001", "one");
    let calling = alice.call("1002");
    bob.invited();
    alice.cancel(&calling);
    drop(program);
}

#[test]
fn a_telephone_unregisters() {
    let port = free_port();
    let mut program = Program::start(folder("unregister"), &file(port));
    let mut bob = Phone::udp(server(port), "1002", "two");
    let registered = bob.register(300);
    assert!(registered.header("Contact").contains("expires="), "{registered:?}");
    let gone = bob.register_with("Contact: *\r\nExpires: 0\r\n");
    assert_eq!((gone.status(), gone.header("Contact")), (200, ""));
    program.wait_for("1002 unregistered");
    assert_eq!(bob.register(10).status(), 423);
}

#[test]
fn an_extension_made_by_a_command_registers_at_once() {
    let port = free_port();
    let mut program = Program::start(folder("command"), &file(port));
    let mut phone = Phone::udp(server(port), "1005", "five");
    assert_eq!(phone.register(300).status(), 401);
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_pbx"))
        .args(["--config", "pbx.toml", "extensions", "add", "1005", "--password", "five"])
        .current_dir(&program.folder)
        .output()
        .unwrap();
    assert!(done.status.success());
    program.wait_for("the extensions were changed");
    assert_eq!(phone.register(300).status(), 200);
}
