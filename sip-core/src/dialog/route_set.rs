//! The route set of a dialog and where it leads: RFC 3261 §12.1, §12.2.1.1.
//!
//! A first hop without `lr` is a strict router of RFC 2543: then the request line holds that hop and the last Route
//! the remote target. Values are kept as they came.

use crate::{
    error::{Attitude, ParseError},
    header::{HeaderValue as _, NameAddr},
    message::{Uri, UriBuf},
};

/// Routes, in the order in which requests from here pass them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSet(Box<[Box<str>]>);

/// What to write into a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The request line.
    pub request_uri: UriBuf,
    /// The `Route` values, topmost first.
    pub routes: Vec<Box<str>>,
    /// Whom the request is sent to: the first route, else the target.
    pub next_hop: UriBuf,
}

impl RouteSet {
    /// The server's: `Record-Route` of the request in order.
    #[must_use]
    pub fn of_server<'a>(record_routes: impl Iterator<Item = &'a str>) -> Self {
        Self(record_routes.map(Into::into).collect())
    }

    /// The client's: `Record-Route` of the response, turned round.
    #[must_use]
    pub fn of_client<'a>(record_routes: impl Iterator<Item = &'a str>) -> Self {
        let mut routes: Vec<Box<str>> = record_routes.map(Into::into).collect();
        routes.reverse();
        Self(routes.into())
    }

    /// Whether requests go straight to the target.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// How a request to `target` is routed.
    pub fn towards(&self, target: &UriBuf) -> Result<Routing, ParseError> {
        let Some((first, rest)) = self.0.split_first() else {
            return Ok(Routing { request_uri: target.clone(), routes: Vec::new(), next_hop: target.clone() });
        };
        let hop = NameAddr::parse(first, Attitude::Lenient)?.uri.to_owned();
        if is_loose(&hop.as_uri()) {
            return Ok(Routing { request_uri: target.clone(), routes: self.0.to_vec(), next_hop: hop });
        }
        let routes = rest.iter().cloned().chain([format!("<{target}>").into_boxed_str()]).collect();
        Ok(Routing { request_uri: hop.as_uri().for_request(), routes, next_hop: hop })
    }
}

/// Whether a route's owner is a loose router.
fn is_loose(uri: &Uri<'_>) -> bool {
    uri.params().has("lr")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> UriBuf {
        UriBuf::parse("sip:bob@192.0.2.4").unwrap()
    }

    #[test]
    fn without_routes_the_target_is_everything() {
        let routing = RouteSet::default().towards(&target()).unwrap();
        assert_eq!(routing, Routing { request_uri: target(), routes: vec![], next_hop: target() });
    }

    #[test]
    fn a_loose_router_leaves_the_request_line_alone() {
        let set = RouteSet::of_server(["<sip:p1.example;lr>", "<sip:p2.example;lr>"].into_iter());
        let routing = set.towards(&target()).unwrap();
        assert_eq!(routing.request_uri.as_str(), "sip:bob@192.0.2.4");
        assert_eq!(routing.routes, ["<sip:p1.example;lr>".into(), "<sip:p2.example;lr>".into()]);
        assert_eq!(routing.next_hop.as_str(), "sip:p1.example;lr");
    }

    #[test]
    fn a_strict_router_takes_the_request_line() {
        let set = RouteSet::of_client(["<sip:p2.example;lr>", "<sip:p1.example?X=1>"].into_iter());
        let routing = set.towards(&target()).unwrap();
        assert_eq!(
            routing.request_uri.as_str(),
            "sip:p1.example",
            "without what a request line may not hold"
        );
        assert_eq!(routing.routes, ["<sip:p2.example;lr>".into(), "<sip:bob@192.0.2.4>".into()]);
    }
}
