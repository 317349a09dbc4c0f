//! Is a request fit to be forwarded (RFC 3261 §16.3, RFC 5393 §4), and taking ourselves off its route (§16.4).
//!
//! A loop is told from a spiral by a keyed digest of everything that decides where the request goes; it stands at the
//! end of our branch, so that no memory is needed. The request line may change on the way back to us: that is a spiral,
//! and fine.

use super::ProxyConfig;
use crate::{
    command::{Headers, Reply},
    error::Attitude,
    header::{HeaderName, HeaderValue as _, NameAddr},
    io::Flow,
    message::{Method, Request, StatusCode, Uri},
    transport::FlowTokens,
};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

/// Why a request is not forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// 416: a request line of a scheme that is not spoken.
    Scheme,
    /// 483: `Max-Forwards` is used up.
    TooManyHops,
    /// 482: it was here before, and would be sent the same way again.
    Loop,
    /// 420: `Proxy-Require` names what is not known.
    Extension(String),
    /// 400: a header that routing needs cannot be read.
    Unreadable(&'static str),
    /// 403: our own Route value holds a flow token that we did not make (RFC 5626 §5.3.1).
    FlowToken,
    /// 440: it would be forked further than `Max-Breadth` allows (RFC 5393 §5).
    Breadth,
}

impl Unfit {
    /// What is answered.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let status = |code| StatusCode::new(code).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
        match self {
            Self::Scheme => Reply::new(status(416)),
            Self::TooManyHops => Reply::new(status(483)),
            Self::Loop => Reply::new(status(482)),
            Self::Extension(tags) => {
                let headers = Headers::new().with(HeaderName::Unsupported.as_str(), tags);
                Reply::new(status(420)).with_headers(headers.unwrap_or_default())
            }
            Self::Unreadable(what) => Reply::new(status(400)).with_reason(format!("Bad Request: {what}")),
            Self::FlowToken => Reply::new(status(403)),
            Self::Breadth => Reply::new(status(440)),
        }
    }
}

/// §16.3.
pub(super) fn validate(request: &Request, config: &ProxyConfig, loop_key: u64) -> Result<(), Unfit> {
    let uri = request.uri().map_err(|_| Unfit::Unreadable("the request line"))?;
    if !uri.is_sip() && !uri.is_sips() && !uri.scheme_str().eq_ignore_ascii_case("tel") {
        return Err(Unfit::Scheme);
    }
    if request.max_forwards().map_err(|_| Unfit::Unreadable("Max-Forwards"))? == Some(0) {
        return Err(Unfit::TooManyHops);
    }
    let mark = loop_mark(request, loop_key);
    let ours = |branch: &str| branch.ends_with(&mark);
    if request.vias().flatten().filter_map(|via| via.branch()).any(ours) {
        return Err(Unfit::Loop);
    }
    let unknown: Vec<&str> = request
        .tokens(HeaderName::ProxyRequire)
        .filter(|tag| !config.supported.iter().any(|own| own.eq_ignore_ascii_case(tag)))
        .collect();
    if !unknown.is_empty() && !matches!(request.method(), Method::Ack | Method::Cancel) {
        return Err(Unfit::Extension(unknown.join(", ")));
    }
    Ok(())
}

/// What stands at the end of the branch of whatever this request is forwarded as (RFC 5393 §4.2.2): the same for the
/// same request on the same way, and for no other.
pub(super) fn loop_mark(request: &Request, key: u64) -> String {
    let mut hasher = foldhash::quality::FixedState::with_seed(key).build_hasher();
    request.uri_text().hash(&mut hasher);
    for name in
        [HeaderName::CallId, HeaderName::CSeq, HeaderName::From, HeaderName::ProxyRequire, HeaderName::Route]
    {
        for value in request.get_all(name) {
            value.hash(&mut hasher);
        }
    }
    // To without its tag would do as well; ACK and CANCEL of one INVITE have to differ from it by method only.
    request.to_tag().hash(&mut hasher);
    format!("L{:016x}", hasher.finish())
}

/// A request with our own Route values taken off, and what they said.
pub(super) struct Taken {
    pub(super) message: Request,
    /// The flow to the telephone that an edge proxy wrote into its Route value; `None` when the request came from there.
    pub(super) way: Option<Flow>,
}

/// §16.4: undoes what a strict router did, and takes our own values off the top of Route.
pub(super) fn take_off_route(
    request: &Request,
    source: &Flow,
    tokens: Option<&FlowTokens>,
    is_ours: impl Fn(&Uri<'_>) -> bool,
) -> Result<Taken, Unfit> {
    let unreadable = |_| Unfit::Unreadable("Route");
    let mut way = None;
    let mut read_token = |uri: &Uri<'_>| {
        if let (Some(tokens), Some(token)) = (tokens, uri.user()) {
            let flow = tokens.decode(token).ok_or(Unfit::FlowToken)?;
            // From the telephone itself: "outgoing" (RFC 5626 §5.3).
            if (flow.protocol, flow.remote) != (source.protocol, source.remote) {
                way = Some(flow);
            }
        }
        Ok(())
    };
    let mut message = request.clone();
    let line = request.uri().map_err(|_| Unfit::Unreadable("the request line"))?;
    // A strict router put our Record-Route value into the request line; the target is the last Route then.
    if line.params().has("lr") && is_ours(&line) {
        let routes: Vec<String> = super::forward::routes(&message);
        if let Some((last, before)) = routes.split_last() {
            read_token(&line)?;
            let target = NameAddr::parse(last, Attitude::Lenient).map_err(unreadable)?.uri.to_owned();
            let mut edit = message.edit().remove(HeaderName::Route).uri(&target);
            for route in before {
                edit = edit.append(HeaderName::Route, route);
            }
            message = edit.finish().map_err(|_| Unfit::Unreadable("Route"))?;
        }
    }
    // Twice when we recorded two, one for each side (RFC 5658).
    for _ in 0..2 {
        let top = message.routes().next().transpose().map_err(unreadable)?;
        let Some(top) = top.filter(|top| is_ours(&top.uri)) else { break };
        read_token(&top.uri)?;
        message =
            message.edit().pop_first(HeaderName::Route).finish().map_err(|_| Unfit::Unreadable("Route"))?;
    }
    Ok(Taken { message, way })
}
