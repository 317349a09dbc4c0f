//! Registers, answers every call with a WAV, and hangs up at its end.
//!
//! `cargo run -p denwa --example answer_with_wav -- greeting.wav udp:0.0.0.0:5070 200 secret pbx.example:5060`
//! Without the last three it only waits for calls.

use denwa::tokio::Telephone;
use denwa::ua::{Account, CallId, Event};
use denwa_sip_core::Protocol;
use std::collections::HashMap;
use std::net::ToSocketAddrs;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [wav, listen, account @ ..] = arguments.as_slice() else {
        return Err("answer_with_wav FILE.wav LISTEN [USER PASSWORD SERVER:PORT]".into());
    };
    let sound = denwa_codecs::wav::read(std::fs::File::open(wav)?)?;
    let rate = sound.sample_rate_hz;
    let (telephone, events) =
        Telephone::start(&[listen.parse()?], move |config| config.sample_rate_hz = rate)?;
    println!("listening on {}", telephone.listening()[0]);
    if let [user, password, server] = account {
        let address = server.to_socket_addrs()?.next().ok_or("the server's name has no address")?;
        let domain = server.rsplit_once(':').map_or(server.as_str(), |(host, _)| host);
        let account = Account::new(user, domain).with_password(password).with_server(Protocol::Udp, address);
        telephone.with(move |agent, now| {
            let account = agent.add_account(account);
            agent.register(account, now)
        })??;
    }

    let mut position: HashMap<CallId, usize> = HashMap::new();
    for event in events {
        match event {
            Event::Registered { expires_in, .. } => println!("registered for {} s", expires_in.as_secs()),
            Event::RegistrationFailed { why, .. } => println!("not registered: {why}"),
            Event::Incoming { call, from, .. } => {
                println!("{from} calls");
                telephone.with(move |agent, now| agent.answer(call, now))??;
            }
            Event::Answered { call } => drop(position.insert(call, 0)),
            // 20 ms were heard: time to say as much.
            Event::Sound { call, samples } => {
                let Some(at) = position.get_mut(&call) else { continue };
                let piece = sound.samples.get(*at..).unwrap_or_default();
                let piece: Vec<i16> = piece.iter().take(samples.len()).copied().collect();
                *at += piece.len();
                telephone.with(move |agent, now| match piece.as_slice() {
                    [] => drop(agent.hang_up(call, now)),
                    piece => drop(agent.say(call, piece)),
                })?;
            }
            Event::Ended { call, reason, evidence, .. } => {
                position.remove(&call);
                println!("{call}: {reason}");
                evidence.findings().iter().for_each(|finding| println!("  {finding}"));
            }
            _ => {}
        }
    }
    Ok(())
}
