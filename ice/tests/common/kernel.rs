//! Five network namespaces joined by pairs of virtual cables, with no way to this machine's network: `a` – `na` – `pub` – `nb` – `b`,
//! where `na` and `nb` translate addresses as the kernel does (nftables). This test program is started again inside them. Needs
//! root, `ip` and `nft`.

use super::drivers::Program;
use denwa_interop::network::Network;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// What an actor is to be, when this program runs inside a namespace.
pub const ROLE: &str = "DENWA_NAT_KERNEL_ROLE";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Routed, not translated.
    Open,
    /// Masquerading, and everything that comes goes to the host.
    Full,
    /// Masquerading, and hosts that were sent to may send from any port.
    Restricted,
    /// Masquerading: Linux keeps the port, and only who was sent to may answer.
    PortRestricted,
    /// Masquerading with another port for each destination.
    Symmetric,
    /// 240 ports in 15 blocks, the next block for each new mapping.
    MapE,
}

impl Kernel {
    /// The rules of a router whose cables are called `lan` and `wan`.
    fn rules(self, inside: &str, outside: &str) -> Option<String> {
        let masquerade = "chain post { type nat hook postrouting priority 100; oifname wan masquerade; }";
        let rules = match self {
            Self::Open => return None,
            Self::PortRestricted => masquerade.to_owned(),
            Self::Symmetric => {
                "chain post { type nat hook postrouting priority 100; oifname wan masquerade fully-random; }"
                    .to_owned()
            }
            Self::Full => format!(
                "{masquerade}\n chain pre {{ type nat hook prerouting priority -100; iifname wan meta l4proto udp dnat to {inside}; }}"
            ),
            Self::Restricted => format!(
                "set met {{ type ipv4_addr; flags dynamic,timeout; timeout 120s; }}\n\
                 chain forward {{ type filter hook forward priority 0; oifname wan meta l4proto udp update @met {{ ip daddr }}; }}\n\
                 {masquerade}\n\
                 chain pre {{ type nat hook prerouting priority -100; iifname wan meta l4proto udp ip saddr @met dnat to {inside}; }}"
            ),
            Self::MapE => {
                let block = |number: u32| {
                    let first = 4096 * (number + 1) + 16 * 0x52;
                    format!(
                        "oifname wan meta mark {number} meta l4proto udp snat to {outside}:{first}-{}\n",
                        first + 15
                    )
                };
                let blocks: String = (0..15).map(block).collect();
                format!(
                    "chain post {{ type nat hook postrouting priority 100; oifname wan meta mark set numgen inc mod 15\n{blocks} }}"
                )
            }
        };
        // A router that answered stray packets would keep an entry for them, and give a later packet to that peer another port.
        let silent = "chain input { type filter hook input priority 0; iifname wan ct state new drop; }";
        Some(format!("table ip denwa {{\n{rules}\n{silent}\n}}\n"))
    }
}

/// The five namespaces; they go with the test.
pub struct Lab {
    network: Network,
}

impl Lab {
    /// Whether this host lets us make namespaces. That it does not fails the test when peers are required, and is told otherwise.
    pub fn is_possible() -> bool {
        Network::is_possible()
    }

    pub fn name(&self, name: &str) -> String {
        self.network.name(name)
    }

    pub fn within(&self, name: &str, command: &str) {
        self.network.run(name, command);
    }

    pub fn new(a: Kernel, b: Kernel) -> Self {
        let lab = Self { network: Network::of(&["a", "na", "pub", "nb", "b"]) };
        lab.network.cable(("a", "eth", "100.64.1.2/24"), ("na", "lan", "100.64.1.1/24"));
        lab.network.cable(("na", "wan", "198.51.100.2/24"), ("pub", "left", "198.51.100.1/24"));
        lab.network.cable(("b", "eth", "100.64.2.2/24"), ("nb", "lan", "100.64.2.1/24"));
        lab.network.cable(("nb", "wan", "203.0.113.2/24"), ("pub", "right", "203.0.113.1/24"));
        for (name, gateway) in
            [("a", "100.64.1.1"), ("na", "198.51.100.1"), ("b", "100.64.2.1"), ("nb", "203.0.113.1")]
        {
            lab.within(name, &format!("ip route add default via {gateway}"));
        }
        for name in ["na", "pub", "nb"] {
            lab.within(name, "sysctl -qw net.ipv4.ip_forward=1");
        }
        lab.within("pub", "ip route add blackhole 100.64.0.0/10");
        for (router, kernel, net, inside, outside) in [
            ("na", a, "100.64.1.0/24", "100.64.1.2", "198.51.100.2"),
            ("nb", b, "100.64.2.0/24", "100.64.2.2", "203.0.113.2"),
        ] {
            match kernel.rules(inside, outside) {
                None => lab.within("pub", &format!("ip route add {net} via {outside}")),
                Some(rules) => lab.nft(router, &rules),
            }
        }
        lab
    }

    pub fn nft(&self, router: &str, rules: &str) {
        self.network.filter(router, rules);
    }

    /// Starts this program again in a namespace, in a role.
    pub fn start(&self, name: &str, test: &str, role: &str) -> Actor {
        let program = std::env::current_exe().unwrap();
        let child = self
            .network
            .command(name, program.to_str().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut program = Program(child);
        let stdout = program.0.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Only what the actor says; the test harness talks too.
                if let Some((_, said)) = line.split_once("@@")
                    && sender.send(said.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let stdin = program.0.stdin.take().unwrap();
        Actor { _program: program, stdin, lines }
    }
}

pub struct Actor {
    _program: Program,
    pub stdin: ChildStdin,
    pub lines: Receiver<String>,
}

/// Tells the test something from inside a namespace.
pub fn say(text: &str) {
    println!("\n@@{text}");
}
