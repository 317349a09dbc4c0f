//! A call by HTTP: the page posts its offer, the answer comes back at once, and how the call goes is told as a stream of events.
//! In the manner of WHIP (RFC 9725): `201` with a `Location`, which `DELETE` ends; candidates are in the descriptions.
//!
//! ```text
//! POST   /SIDE/calls?to=200   application/sdp in, application/sdp out, Location: /calls/KEY
//! GET    /calls/KEY           text/event-stream: ringing, answered, over (a sentence)
//! POST   /calls/KEY/digits    12#
//! DELETE /calls/KEY
//! ```
//!
//! Whoever closes his tab closes the stream, and that hangs up.

use super::guests::{Guests, Inbox, Presence};
use super::{Ends, Shared};
use crate::config::Kind;
use crate::gateway::{Command, GuestId, Said, Told, Visit};
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest offer that is read.
const OFFER_BYTES: usize = 64 << 10;

/// How long an answer may take; ICE is gathered meanwhile.
const ANSWER: Duration = Duration::from_secs(15);

/// How long somebody who has an answer may take to ask how his call goes.
const FIRST_LOOK: Duration = Duration::from_secs(15);

/// How often a stream without news says that it is still there: so that a closed tab is noticed.
const STILL_HERE: Duration = Duration::from_secs(5);

/// Visits by their keys, which nobody guesses.
#[derive(Clone, Default)]
struct Visits(Arc<Mutex<HashMap<String, Open>>>);

/// A visit that goes on.
struct Open {
    guest: GuestId,
    /// Until somebody asks how it goes.
    waiting: Option<(Inbox, Presence)>,
}

impl Visits {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Open>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn guest(&self, key: &str) -> Option<GuestId> {
        self.with(|all| all.get(key).map(|open| open.guest))
    }
}

#[derive(Deserialize)]
struct Call {
    to: Option<String>,
    name: Option<String>,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/{side}/calls", post(begin))
        .route("/calls/{key}", get(follow).delete(end))
        .route("/calls/{key}/digits", post(digits))
        .layer(DefaultBodyLimit::max(OFFER_BYTES))
        .layer(Extension(Visits::default()))
}

async fn begin(
    State(shared): State<Shared>,
    Extension(visits): Extension<Visits>,
    Extension(ends): Extension<Ends>,
    Path(side): Path<String>,
    Query(call): Query<Call>,
    headers: HeaderMap,
    offer: Bytes,
) -> Response {
    let Some(side) = shared.sides.iter().find(|own| own.name == side && own.kind == Kind::WebRtc) else {
        return problem(StatusCode::NOT_FOUND, "there is no such page");
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !kind.trim().to_ascii_lowercase().starts_with("application/sdp") {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected an offer as application/sdp");
    }
    // A page that calls one number calls no other.
    let Some(number) = side.call.clone().or(call.to).filter(|number| !number.is_empty()) else {
        return problem(StatusCode::BAD_REQUEST, "expected ?to=NUMBER");
    };
    let Some(key) = key() else { return problem(StatusCode::INTERNAL_SERVER_ERROR, "no entropy") };
    let guest = shared.guests.name();
    let mut inbox = shared.guests.enter(guest);
    let presence = Presence { guest, guests: shared.guests.clone() };
    let name = call.name.filter(|name| is_plain(name)).unwrap_or_else(|| "anonymous".to_owned());
    let (side, Ends { local, remote }) = (side.name.clone(), ends);
    let visit = Visit { guest, side, number, name, offer: Some(offer), local, remote };
    if !shared.guests.command(Command::Visit(Box::new(visit))) {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the gateway is being shut down");
    }
    let answer = tokio::time::timeout(ANSWER, async {
        loop {
            match inbox.recv().await {
                Some(Told::Answer(answer)) => return Ok(answer),
                Some(Told::Over { status, sentence }) => return Err((status, sentence)),
                Some(_) => {}
                None => return Err((500, "the gateway has ended".to_owned())),
            }
        }
    });
    let answer = match answer.await {
        Ok(Ok(answer)) => answer,
        // What SIP has beyond HTTP is said as the nearest that HTTP has.
        Ok(Err((status, sentence))) => {
            let status = StatusCode::from_u16(if status < 600 { status } else { 403 });
            return problem(status.unwrap_or(StatusCode::BAD_GATEWAY), &sentence);
        }
        Err(_) => return problem(StatusCode::GATEWAY_TIMEOUT, "the gateway took too long"),
    };
    visits.with(|all| all.insert(key.clone(), Open { guest, waiting: Some((inbox, presence)) }));
    tokio::spawn(forget_unless_followed(visits, key.clone()));
    let location = format!("/calls/{key}");
    let headers = [(header::CONTENT_TYPE, "application/sdp".to_owned()), (header::LOCATION, location)];
    (StatusCode::CREATED, headers, answer).into_response()
}

/// Who never asks how his call goes has gone.
async fn forget_unless_followed(visits: Visits, key: String) {
    tokio::time::sleep(FIRST_LOOK).await;
    let gone = visits.with(|all| {
        let unseen = all.get(&key).is_some_and(|open| open.waiting.is_some());
        if unseen { all.remove(&key) } else { None }
    });
    drop(gone);
}

/// How the call goes, as it goes.
async fn follow(Extension(visits): Extension<Visits>, Path(key): Path<String>) -> Response {
    let waiting = visits.with(|all| all.get_mut(&key).and_then(|open| open.waiting.take()));
    let Some((inbox, presence)) = waiting else {
        return problem(StatusCode::NOT_FOUND, "there is no such call");
    };
    let seen = Following { inbox, key, visits, _presence: presence };
    let stream = futures_util::stream::unfold(Some(seen), |seen| async {
        let mut seen = seen?;
        let (text, is_last) = seen.next().await;
        Some((Ok::<_, std::convert::Infallible>(text), (!is_last).then_some(seen)))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(stream)).into_response()
}

/// Somebody who follows his call. When he goes, it ends.
struct Following {
    inbox: Inbox,
    key: String,
    visits: Visits,
    _presence: Presence,
}

impl Following {
    /// The next event as the stream has it, and whether it is the last.
    async fn next(&mut self) -> (String, bool) {
        loop {
            match tokio::time::timeout(STILL_HERE, self.inbox.recv()).await {
                Err(_) => return (": still here\n\n".to_owned(), false),
                Ok(Some(Told::Ringing)) => return (event("ringing", ""), false),
                Ok(Some(Told::Answered)) => return (event("answered", ""), false),
                Ok(Some(Told::Over { sentence, .. })) => return (event("over", &sentence), true),
                Ok(Some(_)) => {}
                Ok(None) => return (event("over", "the gateway has ended"), true),
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.visits.with(|all| all.remove(&self.key));
    }
}

fn event(name: &str, data: &str) -> String {
    let data = data.replace(['\r', '\n'], " ");
    format!("event: {name}\ndata: {data}\n\n")
}

async fn digits(
    State(shared): State<Shared>,
    Extension(visits): Extension<Visits>,
    Path(key): Path<String>,
    digits: String,
) -> Response {
    let Some(guest) = visits.guest(&key) else {
        return problem(StatusCode::NOT_FOUND, "there is no such call");
    };
    let keys = |it: char| matches!(it, '0'..='9' | '*' | '#' | 'A'..='D');
    if digits.is_empty() || digits.len() > 32 || !digits.chars().all(keys) {
        return problem(StatusCode::BAD_REQUEST, "expected keys: 0 to 9, *, #");
    }
    shared.guests.say(guest, Said::Digits(digits));
    StatusCode::NO_CONTENT.into_response()
}

async fn end(
    Extension(visits): Extension<Visits>,
    State(shared): State<Shared>,
    Path(key): Path<String>,
) -> Response {
    let Some(open) = visits.with(|all| all.remove(&key)) else {
        return problem(StatusCode::NOT_FOUND, "there is no such call");
    };
    end_visit(&shared.guests, &open);
    StatusCode::OK.into_response()
}

fn end_visit(guests: &Guests, open: &Open) {
    guests.say(open.guest, Said::Left);
    guests.tell(open.guest, Told::Over { status: 200, sentence: "hung up".to_owned() });
}

/// Something is wrong: one sentence, as plain text.
fn problem(status: StatusCode, sentence: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{sentence}\n")).into_response()
}

fn is_plain(name: &str) -> bool {
    (1..=40).contains(&name.chars().count())
        && name.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_' | '+'))
}

/// 128 bits that nobody guesses.
fn key() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
