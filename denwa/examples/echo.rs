//! An echo server: whoever calls hears himself.
//!
//! `cargo run -p denwa --example echo -- udp:127.0.0.1:5060`, then call `sip:echo@127.0.0.1`.

use denwa::tokio::Telephone;
use denwa::ua::Event;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "udp:127.0.0.1:5060".to_owned());
    let (telephone, events) = Telephone::start(&[listen.parse()?], |_| {})?;
    println!("listening on {}", telephone.listening()[0]);
    for event in events {
        match event {
            Event::Incoming { call, .. } => telephone.with(move |agent, now| agent.answer(call, now))??,
            Event::Sound { call, samples } => {
                drop(telephone.with(move |agent, _| agent.say(call, &samples))?)
            }
            Event::Ended { call, reason, .. } => println!("{call}: {reason}"),
            _ => {}
        }
    }
    Ok(())
}
