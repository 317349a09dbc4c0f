//! A recorder between two: whoever calls is connected with somebody else, and both are recorded into one WAV.
//!
//! `cargo run -p denwa --example recorder -- udp:127.0.0.1:5070 sip:echo@127.0.0.1:5060 both.wav`

use denwa::tokio::Telephone;
use denwa::ua::{Account, CallId, Event};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, address, wav, ..] = arguments.as_slice() else {
        return Err("recorder LISTEN ADDRESS FILE.wav".into());
    };
    let (telephone, events) = Telephone::start(&[listen.parse()?], |_| {})?;
    println!("listening on {}", telephone.listening()[0]);
    let account = telephone.with(|agent, _| agent.add_account(Account::new("recorder", "localhost")))?;
    let mut recorder = denwa_codecs::wav::Recorder::new(std::fs::File::create(wav)?, 8000, 1)?;
    let mut pair: Option<(CallId, CallId)> = None;
    for event in events {
        match event {
            Event::Incoming { call, .. } if pair.is_none() => {
                let address = address.clone();
                let other = telephone.with(move |agent, now| agent.call(account, &address, now))??;
                pair = Some((call, other));
            }
            // The other side has answered: now the caller is, too.
            Event::Answered { call } => {
                let Some((caller, callee)) = pair else { continue };
                if call == callee {
                    telephone.with(move |agent, now| agent.answer(caller, now))??;
                }
                telephone.with(move |agent, now| {
                    if agent.is_up(caller) && agent.is_up(callee) {
                        // Each hears the other; we hear both.
                        drop((agent.confer(caller, now), agent.confer(callee, now)));
                    }
                })?;
            }
            Event::ConferenceSound { samples } => recorder.write(&samples)?,
            Event::Ended { call, reason, .. } => {
                println!("{call}: {reason}");
                let Some((caller, callee)) = pair.filter(|pair| pair.0 == call || pair.1 == call) else {
                    continue;
                };
                let other = if call == caller { callee } else { caller };
                if telephone.with(move |agent, now| agent.hang_up(other, now))?.is_err() {
                    // Both are over.
                    break;
                }
            }
            _ => {}
        }
    }
    recorder.finish()?;
    telephone.shut_down()?;
    Ok(())
}
