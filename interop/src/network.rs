//! Networks of the kernel's own: namespaces joined by virtual cables, with no way to this machine's network, where routers
//! translate addresses and drop packets by the rules of nftables. Needs root, `ip` and `nft`.
//!
//! What runs on a host of such a network runs in this process, on a thread that was moved there; threads and programs that it
//! starts are there too.

use crate::require;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    fs::File,
    io::Write,
    os::fd::AsFd,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// The hosts of one test; they go with it.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    hosts: Vec<String>,
}

impl Network {
    /// Whether this machine lets us make one. That it does not fails the test where `DENWA_REQUIRE_PEERS=1`, and is told otherwise.
    ///
    /// # Panics
    /// When it is required and cannot be made.
    #[must_use]
    pub fn is_possible() -> bool {
        if !require("ip") || !require("nft") {
            return false;
        }
        let probe = format!("denwa{}p{}", std::process::id(), number());
        let quiet = |verb: &str| {
            let mut command = Command::new("ip");
            command.args(["netns", verb, &probe]).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !quiet("add") {
            let required = std::env::var_os("DENWA_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "network namespaces need root");
            println!("no network namespaces here: this test proves nothing");
            return false;
        }
        quiet("del");
        true
    }

    /// Hosts with nothing but their loopback.
    ///
    /// # Panics
    /// When they cannot be made.
    #[must_use]
    pub fn of(hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let network = Self { prefix: format!("denwa{}x{}", std::process::id(), number()), hosts };
        for host in &network.hosts {
            ip(&format!("netns add {}", network.name(host)));
            network.run(host, "ip link set dev lo up");
        }
        network
    }

    /// The kernel's name of a host.
    #[must_use]
    pub fn name(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// Runs a command of a few words on a host.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, host: &str, command: &str) {
        ip(&format!("netns exec {} {command}", self.name(host)));
    }

    /// A cable between two hosts: the host, its end's name, and its address with the length of the network's prefix.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn cable(&self, one: (&str, &str, &str), other: (&str, &str, &str)) {
        let (from, to) = (self.name(one.0), self.name(other.0));
        ip(&format!("link add {} netns {from} type veth peer name {} netns {to}", one.1, other.1));
        for (host, device, address) in [one, other] {
            // Nobody else could have the address: there is no need to wait and see (RFC 4862).
            let nodad = if address.contains(':') { " nodad" } else { "" };
            self.run(host, &format!("ip addr add {address} dev {device}{nodad}"));
            self.run(host, &format!("ip link set dev {device} up"));
        }
    }

    /// Loads rules of nftables on a host.
    ///
    /// # Panics
    /// When they are refused.
    pub fn filter(&self, host: &str, rules: &str) {
        let mut child = self.command(host, "nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "nft\n{rules}");
    }

    /// How many packets a named counter in the table `inet denwa` of a host has seen.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn counted(&self, host: &str, counter: &str) -> u64 {
        let output =
            self.command(host, "nft").args(["list", "counter", "inet", "denwa", counter]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no {counter}: {text}"))
    }

    /// A program that is to run on a host.
    #[must_use]
    pub fn command(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), program]);
        command
    }

    /// Does something on a host.
    ///
    /// # Panics
    /// When that does, or when this process may not go there.
    pub fn on<T: Send>(&self, host: &str, deed: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name(host));
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                let place = File::open(&path).unwrap();
                move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                deed()
            });
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            let mut command = Command::new("ip");
            let _ = command.args(["netns", "del", &self.name(host)]).stderr(Stdio::null()).status();
        }
    }
}

/// One that was not given before.
fn number() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}
