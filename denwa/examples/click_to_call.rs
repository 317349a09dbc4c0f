//! Click to call: `GET /call?from=sip:…&to=sip:…` rings the one, then the other, and connects them.
//!
//! `cargo run -p denwa --example click_to_call -- 127.0.0.1:8080 udp:127.0.0.1:0`, then
//! `curl 'http://127.0.0.1:8080/call?from=sip:alice@127.0.0.1:5062&to=sip:bob@127.0.0.1:5064'`

use denwa::tokio::Telephone;
use denwa::ua::{Account, AccountId, CallId, Event};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Receiver;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [http, listen, ..] = arguments.as_slice() else {
        return Err("click_to_call HTTP_ADDRESS LISTEN".into());
    };
    let (telephone, events) = Telephone::start(&[listen.parse()?], |_| {})?;
    let account = telephone.with(|agent, _| agent.add_account(Account::new("click", "localhost")))?;
    let server = TcpListener::bind(http)?;
    println!("listening on {}", server.local_addr()?);
    for stream in server.incoming() {
        serve(stream?, &telephone, &events, account)?;
    }
    Ok(())
}

/// One request, one pair of people; a program for more would give each pair a thread of its own.
fn serve(
    mut stream: TcpStream,
    telephone: &Telephone,
    events: &Receiver<Event>,
    account: AccountId,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let query = line.split_whitespace().nth(1).and_then(|path| path.strip_prefix("/call?"));
    let of = |name: &str| {
        let pair = query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(pair.to_owned())
    };
    let (Some(from), Some(to)) = (of("from"), of("to")) else {
        write!(stream, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nfrom and to are needed\n")?;
        return Ok(());
    };
    let first = telephone.with(move |agent, now| agent.call(account, &from, now))??;
    let result = connect(telephone, events, account, first, &to)?;
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{result}\n")?;
    Ok(())
}

fn connect(
    telephone: &Telephone,
    events: &Receiver<Event>,
    account: AccountId,
    first: CallId,
    to: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut second = None;
    for event in events {
        match event {
            Event::Answered { call } if call == first => {
                let to = to.to_owned();
                second = Some(telephone.with(move |agent, now| agent.call(account, &to, now))??);
            }
            Event::Answered { call } if Some(call) == second => {
                telephone.with(move |agent, now| {
                    drop((agent.confer(first, now), agent.confer(call, now)));
                })?;
            }
            Event::Ended { call, reason, .. } => {
                let other = if call == first { second } else { Some(first) };
                match other {
                    Some(other) => drop(telephone.with(move |agent, now| agent.hang_up(other, now))?),
                    None => return Ok(format!("the first one: {reason}")),
                }
                // The second end is the last.
                if call != first {
                    second = None;
                }
                if telephone.with(|agent, _| agent.calls().count())? <= 1 {
                    return Ok(format!("over: {reason}"));
                }
            }
            _ => {}
        }
    }
    Ok("the telephone was shut down".to_owned())
}
