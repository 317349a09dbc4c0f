//! WebSockets to voice robots that are called, and from those that call. What is said on them is in [`denwa::robot`].
//!
//! A robot calls by connecting to `/SIDE/robot?to=200&from=50`, and hears the first word when somebody lifts; a robot that is called
//! is connected to. From then on both are alike.

use super::guests::{Guests, Inbox, Presence};
use super::{Ends, Shared};
use crate::config::Kind;
use crate::gateway::{Command, GuestId, Said, Told, Visit};
use axum::extract::ws::{Message as Accepted, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use denwa::bridge::Sound;
use denwa::robot::{self, SoundReader, Start};
use denwa::tokio::{Tls, TlsConfig};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde::Deserialize;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error as WireError, Message};

/// How long a robot may take to be there.
const CONNECT: Duration = Duration::from_secs(10);

/// A call to a robot.
pub(super) struct Call {
    pub(super) guest: GuestId,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) sample_rate_hz: u32,
}

/// What comes from a robot, of either library.
enum Word {
    Text(String),
    Sound(Vec<u8>),
    Nothing,
    Bye,
}

#[derive(Deserialize)]
struct Asked {
    to: String,
    from: Option<String>,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/{side}/robot", get(accept))
}

/// Connects to a robot and serves it until its call is over.
pub(super) async fn connect(call: Call, url: String, tls: Option<Tls>, inbox: Inbox, guests: Guests) {
    let guest = call.guest;
    let presence = Presence { guest, guests: guests.clone() };
    match tokio::time::timeout(CONNECT, reach(&url, tls)).await {
        Ok(Ok(stream)) => {
            guests.say(guest, Said::Here);
            let (to_robot, from_robot) = stream.split();
            let words = from_robot.map(|message| match message {
                Ok(Message::Text(text)) => Word::Text(text.as_str().to_owned()),
                Ok(Message::Binary(bytes)) => Word::Sound(bytes.into()),
                Ok(Message::Close(_)) | Err(_) => Word::Bye,
                Ok(_) => Word::Nothing,
            });
            let to_robot = to_robot.with(|word| async move {
                Ok::<_, WireError>(match word {
                    Word::Text(text) => Message::text(text),
                    Word::Sound(bytes) => Message::binary(bytes),
                    Word::Nothing => Message::Ping(Vec::new().into()),
                    Word::Bye => Message::Close(None),
                })
            });
            converse(call, Box::pin(to_robot), Box::pin(words), inbox, &guests).await;
        }
        Ok(Err(error)) => guests.say(guest, Said::NotThere(error)),
        Err(_) => guests.say(guest, Said::NotThere(format!("{url} takes too long"))),
    }
    drop(presence);
}

/// A stream of either kind.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

async fn reach(
    url: &str,
    tls: Option<Tls>,
) -> Result<tokio_tungstenite::WebSocketStream<Box<dyn Wire>>, String> {
    let uri: axum::http::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let secure = uri.scheme_str() == Some("wss");
    let host = uri.host().ok_or_else(|| format!("{url} names no host"))?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream =
        TcpStream::connect((host.as_str(), port)).await.map_err(|error| format!("{url}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let wire: Box<dyn Wire> = if secure {
        let tls = match tls {
            Some(tls) => tls,
            None => Tls::new(&TlsConfig::default()).map_err(|error| error.to_string())?,
        };
        Box::new(tls.connect(&host, stream).await.map_err(|error| format!("{url}: {error}"))?)
    } else {
        Box::new(stream)
    };
    let (stream, _) =
        tokio_tungstenite::client_async(url, wire).await.map_err(|error| format!("{url}: {error}"))?;
    Ok(stream)
}

/// A robot calls.
async fn accept(
    State(shared): State<Shared>,
    Extension(ends): Extension<Ends>,
    Path(side): Path<String>,
    Query(asked): Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(side) = shared.sides.iter().find(|own| own.name == side && own.kind == Kind::Pcm).cloned()
    else {
        return (StatusCode::NOT_FOUND, "there is no such side for robots\n").into_response();
    };
    upgrade.on_upgrade(move |socket| async move {
        let guests = shared.guests;
        let guest = guests.name();
        let inbox = guests.enter(guest);
        let presence = Presence { guest, guests: guests.clone() };
        let name = asked.from.unwrap_or_else(|| "robot".to_owned());
        let call =
            Call { guest, from: name.clone(), to: asked.to.clone(), sample_rate_hz: side.sample_rate_hz };
        let Ends { local, remote } = ends;
        let visit = Visit { guest, side: side.name, number: asked.to, name, offer: None, local, remote };
        if guests.command(Command::Visit(Box::new(visit))) {
            serve(call, socket, inbox, &guests).await;
        }
        drop(presence);
    })
}

async fn serve(call: Call, mut socket: WebSocket, mut inbox: Inbox, guests: &Guests) {
    // It begins when somebody lifts: what was said before would be lost.
    loop {
        match inbox.recv().await {
            Some(Told::Answered) => break,
            Some(Told::Over { .. }) | None => {
                // Who is gone need not be told.
                let _ = socket.send(Accepted::Text(robot::stop().into())).await;
                return;
            }
            Some(_) => {}
        }
    }
    let (to_robot, from_robot) = socket.split();
    let words = from_robot.map(|message| match message {
        Ok(Accepted::Text(text)) => Word::Text(text.as_str().to_owned()),
        Ok(Accepted::Binary(bytes)) => Word::Sound(bytes.into()),
        Ok(Accepted::Close(_)) | Err(_) => Word::Bye,
        Ok(_) => Word::Nothing,
    });
    let to_robot = to_robot.with(|word| async move {
        Ok::<_, axum::Error>(match word {
            Word::Text(text) => Accepted::Text(text.into()),
            Word::Sound(bytes) => Accepted::Binary(bytes.into()),
            Word::Nothing => Accepted::Ping(Vec::new().into()),
            Word::Bye => Accepted::Close(None),
        })
    });
    converse(call, Box::pin(to_robot), Box::pin(words), inbox, guests).await;
}

/// From the first word to the last.
async fn converse(
    call: Call,
    mut robot: impl Sink<Word> + Unpin,
    mut words: impl Stream<Item = Word> + Unpin,
    mut inbox: Inbox,
    guests: &Guests,
) {
    let Call { guest, from, to, sample_rate_hz } = call;
    let start = Start { call: &guest.to_string(), from: &from, to: &to, sample_rate_hz };
    let mut sound = SoundReader::default();
    if robot.send(Word::Text(start.to_text())).await.is_err() {
        return;
    }
    loop {
        let sent = tokio::select! {
            told = inbox.recv() => match told {
                Some(Told::Sound(sound)) => robot.send(Word::Sound(robot::to_bytes(sound.samples()))).await,
                Some(Told::Digit(digit)) => robot.send(Word::Text(robot::digit(digit))).await,
                Some(Told::Over { .. }) | None => {
                    // Who does not listen any more need not be told.
                    let _ = robot.send(Word::Text(robot::stop())).await;
                    let _ = robot.send(Word::Bye).await;
                    return;
                }
                Some(_) => Ok(()),
            },
            word = words.next() => {
                match word {
                    Some(Word::Sound(bytes)) => {
                        let samples = sound.read(&bytes);
                        guests.say(guest, Said::Sound(Sound::new(samples, sample_rate_hz)));
                    }
                    Some(Word::Text(text)) => match robot::Said::read(&text) {
                        robot::Said::Clear => guests.say(guest, Said::Hush),
                        robot::Said::Digits(digits) => guests.say(guest, Said::Digits(digits)),
                        robot::Said::HangUp => return,
                        robot::Said::Other => {}
                    },
                    Some(Word::Nothing) => {}
                    Some(Word::Bye) | None => return,
                }
                Ok(())
            }
        };
        if sent.is_err() {
            return;
        }
    }
}
