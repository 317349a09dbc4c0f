//! Calls somebody, records what he says, and hangs up.
//!
//! `cargo run -p denwa --example call_and_record -- sip:117@pbx.example clock.wav 10`

use denwa::media::PlayOut;
use denwa::tokio::Telephone;
use denwa::ua::{Account, Event};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, wav, seconds, ..] = arguments.as_slice() else {
        return Err("call_and_record ADDRESS FILE.wav SECONDS [LISTEN]".into());
    };
    let listen = arguments.get(3).map_or("udp:0.0.0.0:0", String::as_str).parse()?;
    let wanted = seconds.parse::<usize>()? * 8000;
    let (telephone, events) = Telephone::start(&[listen], |config| {
        // A recorder is in no hurry: what comes late is waited for rather than cut.
        config.play_out = PlayOut::Fixed(Duration::from_millis(80));
    })?;
    let address = address.clone();
    let call = telephone.with(move |agent, now| {
        let account = agent.add_account(Account::new("recorder", "localhost"));
        agent.call(account, &address, now)
    })??;

    let mut recorder = denwa_codecs::wav::Recorder::new(std::fs::File::create(wav)?, 8000, 1)?;
    let (mut recorded, mut is_up) = (0, false);
    for event in events {
        match event {
            Event::Ringing { .. } => println!("it rings"),
            Event::Answered { .. } => is_up = true,
            Event::Sound { samples, .. } if is_up => {
                recorder.write(&samples)?;
                recorded += samples.len();
                // Whoever says nothing may be taken for gone: silence keeps the way open.
                let silence = vec![0; samples.len()];
                let done = recorded >= wanted;
                telephone.with(move |agent, now| {
                    if done {
                        drop(agent.hang_up(call, now));
                    } else {
                        drop(agent.say(call, &silence));
                    }
                })?;
            }
            Event::Ended { reason, report, evidence, .. } => {
                println!(
                    "{reason}; {} packets came, {} were lost",
                    report.counters.received, report.counters.lost
                );
                evidence.findings().iter().for_each(|finding| println!("{finding}"));
                break;
            }
            _ => {}
        }
    }
    recorder.finish()?;
    telephone.shut_down()?;
    Ok(())
}
