//! The page: one button, in Japanese and English, for eyes, keys and screen readers. It is embedded, and needs nothing from elsewhere.

use super::Shared;
use crate::config::Kind;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// Nothing from elsewhere is loaded, and no other site frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self' blob: mediastream:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(first))
        .route("/{side}", get(page))
        .route("/{side}/setup", get(setup))
        .route("/assets/page.js", get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/assets/page.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

async fn first(State(shared): State<Shared>) -> Response {
    match shared.sides.iter().find(|side| side.kind == Kind::WebRtc) {
        Some(side) => Redirect::to(&format!("/{}", side.name)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn page(State(shared): State<Shared>, Path(side): Path<String>) -> Response {
    if shared.sides.iter().any(|own| own.name == side && own.kind == Kind::WebRtc) {
        asset("text/html; charset=utf-8", PAGE)
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// What the page has to know: whom it calls, if that is settled, and which servers find its path.
async fn setup(State(shared): State<Shared>, Path(side): Path<String>) -> Response {
    let Some(side) = shared.sides.iter().find(|own| own.name == side && own.kind == Kind::WebRtc) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let call = side.call.as_deref().map_or("null".to_owned(), |call| format!("{call:?}"));
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    let servers = shared.relay.as_ref().map_or(String::new(), |relay| relay.to_json());
    (headers, format!("{{\"call\":{call},\"iceServers\":[{servers}]}}")).into_response()
}
